import avro from 'avsc';
import { MAX_SCHEMA_VERSIONS } from '../protocol/forms/topic-form.ts';
import { DirectError } from './errors.ts';
import type { Serializer, Validator } from './topic-form.ts';

export function avroValidator(schema: object | string): Validator {
  const type = avroType(schema);
  return (metadata) => problemOf(type, metadata);
}

function problemOf(type: avro.Type, metadata: unknown): string | null {
  let problem: string | null = null;
  type.isValid(metadata, {
    errorHook: (path, value) => {
      problem ??= `${path.join('.') || 'metadata'} is ${JSON.stringify(value)}, which the schema does not allow`;
    },
  });
  return problem;
}

/** One byte says which version of the schema follows; older ones are read by avsc's resolvers. */
export function avroSerializer(schemas: readonly (object | string)[]): Serializer {
  const types = schemas.map(avroType);
  const newest = types[types.length - 1]!;
  const resolvers = types.map((type) => (type === newest ? undefined : newest.createResolver(type)));
  return {
    serialize(metadata) {
      const problem = problemOf(newest, metadata);
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
  if (schemas.length === 0 || schemas.length > MAX_SCHEMA_VERSIONS)
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
