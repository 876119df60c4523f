import { decode as decodeMessagePack, encode as encodeMessagePack } from '@msgpack/msgpack';
import { Ajv } from 'ajv';
import type { CustomSpec, ModuleSpec } from '../protocol/forms/named-code.ts';
import {
  FORM_CONFIGS,
  FORM_PARTS,
  type FormPart,
  formProblem,
  formTextProblem,
  type PartitionSelectorSpec,
  type SerializerSpec,
  type TopicForm,
  type ValidatorSpec,
} from '../protocol/forms/topic-form.ts';
import { avroSerializer, avroValidator } from './avro-form.ts';
import { DirectError } from './errors.ts';
import { type FormCode, isCode } from './form-code.ts';
import { partitionOfKey } from './murmur2.ts';

export { FORM_CONFIGS, type PartitionSelectorSpec, type SerializerSpec, type TopicForm, type ValidatorSpec };

export interface Serializer {
  serialize(metadata: unknown): Uint8Array;
  deserialize(bytes: Uint8Array): unknown;
}

/** Returns a partition from 0 on. */
export type PartitionSelector = (metadata: unknown, key: Uint8Array | null, partitions: number) => number;

/** Returns what is wrong with the metadata, or null. */
export type Validator = (metadata: unknown) => string | null;

/** Parts of a form that are no code. */
type BuiltIn<Spec> = Exclude<Spec, CustomSpec | ModuleSpec>;

/** A form in use. */
export interface OpenForm {
  readonly validate: Validator;
  readonly serializer: Serializer;
  /** The text whose UTF-8 the serializer gives: whoever writes it does without bytes of its own. Null: it gives no text. */
  readonly textOf: ((metadata: unknown) => string) | null;
  /** The other way round. Null: it takes bytes. */
  readonly parse: ((text: string) => unknown) | null;
  /** Null: each push has to say. */
  readonly selectPartition: PartitionSelector | null;
}

/** Rejects with a DirectError when a part of it cannot be used here: INVALID_ARGUMENT, or MODULE. */
export async function openForm(form: TopicForm, code: FormCode, doing: string): Promise<OpenForm> {
  const { validator, serializer, partitionSelector } = form;
  return {
    validate: isCode(validator) ? await code.find('validator', validator, doing) : validatorOf(validator),
    serializer: isCode(serializer)
      ? await code.find('serializer', serializer, doing)
      : serializerOf(serializer),
    textOf: serializer.type === 'json' ? jsonOf : null,
    parse: serializer.type === 'json' ? JSON.parse : null,
    selectPartition: isCode(partitionSelector)
      ? await code.find('partitionSelector', partitionSelector, doing)
      : partitionSelectorOf(partitionSelector),
  };
}

export function validatorOf(spec: BuiltIn<ValidatorSpec>): Validator {
  switch (spec.type) {
    case 'none':
      return () => null;
    case 'json-schema':
      return jsonSchemaValidator(spec.schema);
    case 'avro':
      return avroValidator(spec.schema);
  }
}

function jsonSchemaValidator(schema: object): Validator {
  const ajv = new Ajv({ strict: false });
  try {
    const check = ajv.compile(schema);
    if ('$async' in check) throw new Error('it is an asynchronous one');
    return (metadata) => (check(metadata) ? null : ajv.errorsText(check.errors, { dataVar: 'metadata' }));
  } catch (cause) {
    throw new DirectError('INVALID_ARGUMENT', `not a JSON Schema (${(cause as Error).message})`, {
      doing: 'read a schema',
      cause,
    });
  }
}

export function serializerOf(spec: BuiltIn<SerializerSpec>): Serializer {
  switch (spec.type) {
    case 'json':
      return {
        serialize: (metadata) => Buffer.from(jsonOf(metadata)),
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
  }
}

function jsonOf(metadata: unknown): string {
  return JSON.stringify(metadata) ?? 'null';
}

/** @returns null for `explicit` */
export function partitionSelectorOf(spec: BuiltIn<PartitionSelectorSpec>): PartitionSelector | null {
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
  }
}

function textOf(bytes: Uint8Array): string {
  return (
    Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  ).toString();
}

const DEFAULTS: TopicForm = {
  validator: { type: 'none' },
  serializer: { type: 'json' },
  partitionSelector: { type: 'key' },
};

/** @throws DirectError INVALID_ARGUMENT when a part of a form is none: it would be stored, and no client could open the topic */
export function checkForm(form: Partial<TopicForm>, doing: string): void {
  for (const part of FORM_PARTS) {
    const problem = form[part] === undefined ? null : formProblem(part, form[part]);
    if (problem !== null) throw new DirectError('INVALID_ARGUMENT', problem, { doing });
  }
}

/** The form that a topic's configs describe. @throws DirectError INVALID_ARGUMENT when they describe none */
export function formOfConfigs(configs: ReadonlyMap<string, string | null>, doing: string): TopicForm {
  const read = <Part extends FormPart>(part: Part): TopicForm[Part] => {
    const text = configs.get(FORM_CONFIGS[part]) ?? '';
    const problem = formTextProblem(part, text);
    if (problem !== null)
      throw new DirectError('INVALID_ARGUMENT', `${FORM_CONFIGS[part]}: ${problem}`, {
        doing,
        todo: 'set the config anew: `kafabric configs set`',
      });
    return text.trim() === '' ? DEFAULTS[part] : (JSON.parse(text) as TopicForm[Part]);
  };
  return {
    validator: read('validator'),
    serializer: read('serializer'),
    partitionSelector: read('partitionSelector'),
  };
}

/** What has to be configured for a form. */
export function configsOfForm(form: Partial<TopicForm>): Record<string, string> {
  const configs: Record<string, string> = {};
  for (const part of FORM_PARTS)
    if (form[part] !== undefined) configs[FORM_CONFIGS[part]] = JSON.stringify(form[part]);
  return configs;
}
