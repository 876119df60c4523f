import { decode as decodeMessagePack, encode as encodeMessagePack } from '@msgpack/msgpack';
import { Ajv } from 'ajv';
import avro from 'avsc';
import { DirectError } from './errors.ts';
import { partitionOfKey } from './murmur2.ts';

/** What the metadata of an event has to be. */
export type ValidatorSpec =
  | { readonly type: 'none' }
  | { readonly type: 'json-schema'; readonly schema: object }
  | { readonly type: 'avro'; readonly schema: object | string }
  /** One that the application has registered: `ClientOptions.custom`. */
  | { readonly type: 'custom'; readonly name: string };

/** The form of metadata on the wire. Avro: all versions of the schema, the newest last; it is what events are read as. */
export type SerializerSpec =
  | { readonly type: 'json' }
  | { readonly type: 'msgpack' }
  /** Metadata is a Uint8Array. */
  | { readonly type: 'raw' }
  | { readonly type: 'avro'; readonly schemas: readonly (object | string)[] }
  | { readonly type: 'custom'; readonly name: string };

/** How the partition of an event is chosen when the push does not say. */
export type PartitionSelectorSpec =
  /** By the key as Kafka's producers do it; in turn without one. */
  | { readonly type: 'key' }
  | { readonly type: 'round-robin' }
  /** By the hash of a field of the metadata: `a.b` for a field within one. */
  | { readonly type: 'field'; readonly field: string }
  /** Each push has to say. */
  | { readonly type: 'explicit' }
  | { readonly type: 'custom'; readonly name: string };

/** What an application adds; topics name it, and every client that uses them has to have it. Topics never bring code. */
export interface CustomForms {
  readonly validators?: Readonly<Record<string, (metadata: unknown) => string | null>>;
  readonly serializers?: Readonly<Record<string, Serializer>>;
  readonly partitionSelectors?: Readonly<Record<string, PartitionSelector>>;
}

export interface Serializer {
  serialize(metadata: unknown): Uint8Array;
  deserialize(bytes: Uint8Array): unknown;
}

/** Returns a partition from 0 on. */
export type PartitionSelector = (metadata: unknown, key: Uint8Array | null, partitions: number) => number;

/** Returns what is wrong with the metadata, or null. */
export type Validator = (metadata: unknown) => string | null;

const MAX_AVRO_VERSIONS = 255;

function unknownCustom(kind: string, name: string): DirectError {
  return new DirectError(
    'INVALID_ARGUMENT',
    `the topic has the custom ${kind} "${name}", which is not registered`,
    {
      doing: 'open a topic',
      todo: `give it in the client's options: custom.${kind}s`,
    },
  );
}

export function validatorOf(spec: ValidatorSpec, custom: CustomForms): Validator {
  switch (spec.type) {
    case 'none':
      return () => null;
    case 'json-schema': {
      const ajv = new Ajv({ strict: false });
      const check = ajv.compile(spec.schema);
      return (metadata) => (check(metadata) ? null : ajv.errorsText(check.errors, { dataVar: 'metadata' }));
    }
    case 'avro': {
      const type = avroType(spec.schema);
      return (metadata) => avroProblem(type, metadata);
    }
    case 'custom': {
      const validator = custom.validators?.[spec.name];
      if (validator === undefined) throw unknownCustom('validator', spec.name);
      return validator;
    }
  }
}

function avroProblem(type: avro.Type, metadata: unknown): string | null {
  let problem: string | null = null;
  type.isValid(metadata, {
    errorHook: (path, value) => {
      problem ??= `${path.join('.') || 'metadata'} is ${JSON.stringify(value)}, which the schema does not allow`;
    },
  });
  return problem;
}

export function serializerOf(spec: SerializerSpec, custom: CustomForms): Serializer {
  switch (spec.type) {
    case 'json':
      return {
        serialize: (metadata) => Buffer.from(JSON.stringify(metadata) ?? 'null'),
        deserialize: (bytes) => JSON.parse(textOf(bytes)),
      };
    case 'msgpack':
      return {
        serialize: (metadata) => encodeMessagePack(metadata),
        deserialize: (bytes) => decodeMessagePack(bytes),
      };
    case 'raw':
      return {
        serialize(metadata) {
          if (metadata instanceof Uint8Array) return metadata;
          throw new DirectError('INVALID_METADATA', 'the topic’s metadata is raw: a Uint8Array is needed', {
            doing: 'push',
          });
        },
        deserialize: (bytes) => bytes,
      };
    case 'avro':
      return avroSerializer(spec.schemas);
    case 'custom': {
      const serializer = custom.serializers?.[spec.name];
      if (serializer === undefined) throw unknownCustom('serializer', spec.name);
      return serializer;
    }
  }
}

/** One byte says which version of the schema follows; older ones are read by avsc's resolvers. */
function avroSerializer(schemas: readonly (object | string)[]): Serializer {
  const types = schemas.map(avroType);
  const newest = types[types.length - 1]!;
  const resolvers = types.map((type) => (type === newest ? undefined : newest.createResolver(type)));
  return {
    serialize(metadata) {
      const problem = avroProblem(newest, metadata);
      if (problem !== null) throw new DirectError('INVALID_METADATA', problem, { doing: 'push' });
      return Buffer.concat([Buffer.from([types.length - 1]), newest.toBuffer(metadata)]);
    },
    deserialize(bytes) {
      const version = bytes[0] ?? 255;
      if (version >= types.length)
        throw new DirectError(
          'INVALID_METADATA',
          `it has version ${version} of the schema, ${types.length} are known`,
          {
            doing: 'read metadata',
            todo: 'open the topic again: its schema has evolved',
          },
        );
      const rest = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.byteLength - 1);
      return newest.fromBuffer(rest, resolvers[version]);
    },
  };
}

function avroType(schema: object | string): avro.Type {
  try {
    return avro.Type.forSchema(schema as avro.Schema);
  } catch (cause) {
    throw new DirectError('INVALID_ARGUMENT', `not an Avro schema (${(cause as Error).message})`, {
      doing: 'read a schema',
      cause,
    });
  }
}

/** @throws DirectError when data written with the versions before cannot be read as the newest */
export function checkEvolution(schemas: readonly (object | string)[]): void {
  if (schemas.length === 0 || schemas.length > MAX_AVRO_VERSIONS)
    throw new DirectError('INVALID_ARGUMENT', `${schemas.length} versions of a schema`, {
      doing: 'evolve a schema',
    });
  try {
    avroSerializer(schemas);
  } catch (cause) {
    if (cause instanceof DirectError) throw cause;
    throw new DirectError(
      'INVALID_ARGUMENT',
      `older events could not be read (${(cause as Error).message})`,
      {
        doing: 'evolve a schema',
        todo: 'give new fields defaults, and keep the types of those that stay',
        cause,
      },
    );
  }
}

/** @returns null for `explicit` */
export function partitionSelectorOf(
  spec: PartitionSelectorSpec,
  custom: CustomForms,
): PartitionSelector | null {
  let next = 0;
  const inTurn = (partitions: number) => next++ % partitions;
  switch (spec.type) {
    case 'explicit':
      return null;
    case 'round-robin':
      return (_metadata, _key, partitions) => inTurn(partitions);
    case 'key':
      return (_metadata, key, partitions) =>
        key === null ? inTurn(partitions) : partitionOfKey(key, partitions);
    case 'field': {
      const path = spec.field.split('.');
      return (metadata, _key, partitions) => {
        let value = metadata;
        for (const name of path) value = (value as Record<string, unknown> | null | undefined)?.[name];
        return value === undefined
          ? inTurn(partitions)
          : partitionOfKey(Buffer.from(String(value)), partitions);
      };
    }
    case 'custom': {
      const selector = custom.partitionSelectors?.[spec.name];
      if (selector === undefined) throw unknownCustom('partitionSelector', spec.name);
      return selector;
    }
  }
}

function textOf(bytes: Uint8Array): string {
  return (
    Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  ).toString();
}

/** The topic configs that hold a topic's form. */
export const FORM_CONFIGS = {
  validator: 'direct.validator',
  serializer: 'direct.serializer',
  partitionSelector: 'direct.partition.selector',
} as const;

export interface TopicForm {
  readonly validator: ValidatorSpec;
  readonly serializer: SerializerSpec;
  readonly partitionSelector: PartitionSelectorSpec;
}

const DEFAULTS: TopicForm = {
  validator: { type: 'none' },
  serializer: { type: 'json' },
  partitionSelector: { type: 'key' },
};

/** The types of each part of a form, with the fields that they need and the types of those. */
const TYPES: Readonly<Record<keyof TopicForm, Readonly<Record<string, Readonly<Record<string, string>>>>>> = {
  validator: {
    none: {},
    'json-schema': { schema: 'object' },
    avro: { schema: 'object or string' },
    custom: { name: 'string' },
  },
  serializer: { json: {}, msgpack: {}, raw: {}, avro: { schemas: 'list' }, custom: { name: 'string' } },
  partitionSelector: {
    key: {},
    'round-robin': {},
    field: { field: 'string' },
    explicit: {},
    custom: { name: 'string' },
  },
};

/** @throws DirectError INVALID_ARGUMENT when a part of a form is none: it would be stored, and no client could open the topic */
export function checkForm(form: Partial<TopicForm>, doing: string): void {
  for (const part of Object.keys(TYPES) as (keyof TopicForm)[]) {
    const spec: unknown = form[part];
    if (spec === undefined) continue;
    const types = TYPES[part];
    const isObject = typeof spec === 'object' && spec !== null;
    const { type, ...fields } = (isObject ? spec : {}) as { type?: unknown } & Record<string, unknown>;
    const needed = typeof type === 'string' && Object.hasOwn(types, type) ? types[type] : undefined;
    if (needed === undefined)
      throw new DirectError('INVALID_ARGUMENT', `${part} ${JSON.stringify(spec)} is none`, {
        doing,
        todo: `give an object with a type: ${Object.keys(types).join(', ')}`,
      });
    for (const [field, kind] of Object.entries(needed))
      if (!isOf(kind, fields[field]))
        throw new DirectError('INVALID_ARGUMENT', `${part} of type ${type} needs "${field}" (${kind})`, {
          doing,
        });
  }
}

function isOf(kind: string, value: unknown): boolean {
  if (kind === 'list') return Array.isArray(value);
  if (value === null || Array.isArray(value)) return false;
  return kind.split(' or ').includes(typeof value);
}

/** The form that a topic's configs describe. */
export function formOfConfigs(configs: ReadonlyMap<string, string | null>): TopicForm {
  const read = <T>(name: string, fallback: T): T => {
    const text = configs.get(name);
    if (!text) return fallback;
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new DirectError('INVALID_ARGUMENT', `the topic’s ${name} is no JSON`, {
        doing: 'open a topic',
        cause,
      });
    }
  };
  const form = {
    validator: read(FORM_CONFIGS.validator, DEFAULTS.validator),
    serializer: read(FORM_CONFIGS.serializer, DEFAULTS.serializer),
    partitionSelector: read(FORM_CONFIGS.partitionSelector, DEFAULTS.partitionSelector),
  };
  checkForm(form, 'open a topic');
  return form;
}

/** What has to be configured for a form. */
export function configsOfForm(form: Partial<TopicForm>): Record<string, string> {
  const configs: Record<string, string> = {};
  for (const key of ['validator', 'serializer', 'partitionSelector'] as const)
    if (form[key] !== undefined) configs[FORM_CONFIGS[key]] = JSON.stringify(form[key]);
  return configs;
}
