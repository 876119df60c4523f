import { type CustomSpec, type ModuleSpec, namedCodeProblem, textProblem } from './named-code.ts';

/** What the metadata of an event has to be. */
export type ValidatorSpec =
  | { readonly type: 'none' }
  | { readonly type: 'json-schema'; readonly schema: object }
  | { readonly type: 'avro'; readonly schema: object | string }
  | CustomSpec
  | ModuleSpec;

/** The form of metadata on the wire. Avro: all versions of the schema, the newest last; it is what events are read as. */
export type SerializerSpec =
  | { readonly type: 'json' }
  | { readonly type: 'msgpack' }
  /** Metadata is a Uint8Array. */
  | { readonly type: 'raw' }
  | { readonly type: 'avro'; readonly schemas: readonly (object | string)[] }
  | CustomSpec
  | ModuleSpec;

/** How the partition of an event is chosen when the push does not say. */
export type PartitionSelectorSpec =
  /** By the key as Kafka's producers do it; in turn without one. */
  | { readonly type: 'key' }
  | { readonly type: 'round-robin' }
  /** By the hash of a field of the metadata: `a.b` for a field within one. */
  | { readonly type: 'field'; readonly field: string }
  /** Each push has to say. */
  | { readonly type: 'explicit' }
  | CustomSpec
  | ModuleSpec;

/** How the events of a topic are made; every client applies the same. */
export interface TopicForm {
  readonly validator: ValidatorSpec;
  readonly serializer: SerializerSpec;
  readonly partitionSelector: PartitionSelectorSpec;
}

export type FormPart = keyof TopicForm;

/** The topic configs that hold a topic's form, as JSON. */
export const FORM_CONFIGS: Readonly<Record<FormPart, string>> = {
  validator: 'direct.validator',
  serializer: 'direct.serializer',
  partitionSelector: 'direct.partition.selector',
};

/** Versions of a schema that a serializer may have: events name theirs by one byte. */
export const MAX_SCHEMA_VERSIONS = 255;

export const FORM_PARTS = Object.keys(FORM_CONFIGS) as readonly FormPart[];

/** The types of each part of a form that are no code, with the fields that they need and the types of those. */
const TYPES: Readonly<Record<FormPart, Readonly<Record<string, Readonly<Record<string, string>>>>>> = {
  validator: { none: {}, 'json-schema': { schema: 'object' }, avro: { schema: 'object or string' } },
  serializer: { json: {}, msgpack: {}, raw: {}, avro: { schemas: 'list' } },
  partitionSelector: { key: {}, 'round-robin': {}, field: { field: 'string' }, explicit: {} },
};

/** Why a part of a form is none, for people; null when it is one. Schemas themselves are not looked at. */
export function formProblem(part: FormPart, spec: unknown): string | null {
  const types = TYPES[part];
  const isObject = typeof spec === 'object' && spec !== null;
  const { type, ...fields } = (isObject ? spec : {}) as { type?: unknown } & Record<string, unknown>;
  if (type === 'custom' || type === 'module') return namedCodeProblem({ type, ...fields }, part);
  const needed = typeof type === 'string' && Object.hasOwn(types, type) ? types[type] : undefined;
  if (needed === undefined)
    return `${part} ${JSON.stringify(spec)} is none; give an object with a type: ${[...Object.keys(types), 'custom', 'module'].join(', ')}`;
  for (const [field, kind] of Object.entries(needed))
    if (!isOf(kind, fields[field])) return `${part} of type ${type} needs "${field}" (${kind})`;
  const { schemas } = fields;
  if (type === 'avro' && Array.isArray(schemas) && schemas.length > MAX_SCHEMA_VERSIONS)
    return `${part} of type avro has ${schemas.length} schemas, ${MAX_SCHEMA_VERSIONS} at most can be told apart`;
  return null;
}

/** Why a stored text is no part of a form, for people; null when it is one, or empty: the default is meant then. */
export function formTextProblem(part: FormPart, text: string): string | null {
  return textProblem(text, (spec) => formProblem(part, spec));
}

/**
 * Why a stored serializer cannot take the place of another, for people; null when it can. Events name the version of their schema by its place:
 * a serializer that has versions is replaced by one that begins with them. So of two who add one at the same time the second is refused.
 * @param before, after texts that are serializers, or empty
 */
export function serializerChangeProblem(before: string, after: string): string | null {
  const [kept, now] = [versionsOf(before), versionsOf(after)];
  if (after.trim() === '' || kept.every((schema, i) => schema === now[i])) return null;
  return `it has ${kept.length} ${kept.length === 1 ? 'version' : 'versions'} of its schema, by which events are read: a new value has to begin with them, and may add to them. If another version was added meanwhile, read the value again; to begin anew, delete the config first`;
}

function versionsOf(text: string): string[] {
  const spec: SerializerSpec = text.trim() === '' ? { type: 'json' } : JSON.parse(text);
  return spec.type === 'avro' ? spec.schemas.map((schema) => JSON.stringify(schema)) : [];
}

function isOf(kind: string, value: unknown): boolean {
  if (kind === 'list') return Array.isArray(value) && value.length > 0;
  if (value === null || Array.isArray(value)) return false;
  return kind.split(' or ').includes(typeof value);
}
