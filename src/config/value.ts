import * as z from 'zod';
import type { ConfigDefinition, ConfigType } from './definitions/definition.ts';

/** The value of a key after parsing; see `ValueOf` for which type gives which. */
export type ConfigValue = boolean | number | string | readonly string[];

const INTEGER_LIMITS: Partial<Record<ConfigType, readonly [bigint, bigint]>> = {
  short: [-(2n ** 15n), 2n ** 15n - 1n],
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  long: [-(2n ** 63n), 2n ** 63n - 1n],
};

function integerSchema(type: ConfigType): z.ZodType<number, string> {
  const notANumber = `Not a number of type ${type.toUpperCase()}`;
  const [lowest, highest] = INTEGER_LIMITS[type]!;
  return z
    .string()
    .regex(/^[+-]?\d{1,19}$/, { error: notANumber })
    .transform((text) => BigInt(text.replace('+', '')))
    .refine((value) => value >= lowest && value <= highest, { error: notANumber })
    .transform(Number);
}

const doubleSchema = z
  .string()
  .regex(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, { error: 'Not a number of type DOUBLE' })
  .transform(Number);

const booleanSchema = z
  .string()
  .regex(/^(true|false)$/i, { error: 'Expected value to be either true or false' })
  .transform((text) => text.toLowerCase() === 'true');

function withLimits(schema: z.ZodType<number, string>, { min, max, also }: ConfigDefinition) {
  if (also !== undefined && min !== undefined && max !== undefined)
    return schema.refine((value) => value >= min && value <= max, {
      error: `Value must be between ${min} and ${max} or equal to ${also.join(' or ')}`,
    });
  return schema
    .refine((value) => min === undefined || value >= min, { error: `Value must be at least ${min}` })
    .refine((value) => max === undefined || value <= max, { error: `Value must be no more than ${max}` });
}

function listSchema({ name, values, repeats, filled }: ConfigDefinition) {
  return z
    .string()
    .transform(splitList)
    .refine((items) => repeats || new Set(items).size === items.length, {
      error: `Configuration '${name}' values must not be duplicated.`,
    })
    .refine((items) => filled !== true || items.length > 0, {
      error: `Configuration '${name}' must not be empty. Valid values include: any non-empty value`,
    })
    .refine((items) => !items.includes(''), { error: `Configuration '${name}' values must not be empty.` })
    .refine((items) => values === undefined || items.every((item) => values.includes(item)), {
      error: `String must be one of: ${values?.join(', ')}`,
    });
}

function createSchema(definition: ConfigDefinition): z.ZodType<ConfigValue, string> {
  const { type, values } = definition;
  switch (type) {
    case 'boolean':
      return booleanSchema;
    case 'double':
      return withLimits(doubleSchema, definition);
    case 'short':
    case 'int':
    case 'long':
      return withLimits(integerSchema(type), definition);
    case 'list':
      return listSchema(definition);
    default:
      return z.string().refine((text) => values === undefined || values.includes(text), {
        error: `String must be one of: ${values?.join(', ')}`,
      });
  }
}

/** By what they allow: hundreds of keys share them. */
const schemas = new Map<string, z.ZodType<ConfigValue, string>>();

function schemaOf(definition: ConfigDefinition): z.ZodType<ConfigValue, string> {
  const { name, type, values, min, max, also, repeats, filled } = definition;
  const shape = JSON.stringify([type, values, min, max, also, type === 'list' && [name, repeats, filled]]);
  let schema = schemas.get(shape);
  if (schema === undefined) {
    schema = createSchema(definition);
    schemas.set(shape, schema);
  }
  return schema;
}

/** The elements of a list in a properties file. */
export function splitList(text: string): string[] {
  const trimmed = text.trim();
  return trimmed === '' ? [] : trimmed.split(',').map((item) => item.trim());
}

export type ParseResult = { readonly value: ConfigValue } | { readonly reason: string };

/** Parses one value; the reason of a refusal is worded as Kafka words it. */
export function parseValue(definition: ConfigDefinition, text: string): ParseResult {
  const trimmed = text.trim();
  if (definition.also?.includes(trimmed)) {
    return { value: Number(trimmed) };
  }
  const result = schemaOf(definition).safeParse(trimmed);
  return result.success ? { value: result.data } : { reason: result.error.issues[0]!.message };
}

/** A valid value as Kafka shows it once it has parsed it (ConfigDef.convertToString): `1.0` for a double that was set as `1`. */
export function printedValue({ type }: ConfigDefinition, text: string): string {
  const trimmed = text.trim();
  switch (type) {
    case 'boolean':
      return trimmed.toLowerCase();
    case 'short':
    case 'int':
    case 'long':
      return /^[+-]?\d+$/.test(trimmed) ? String(BigInt(trimmed.replace('+', ''))) : trimmed;
    case 'double':
      return printedDouble(Number(trimmed));
    case 'list':
      return splitList(trimmed).join(',');
    default:
      return trimmed;
  }
}

/** As Java prints it. */
function printedDouble(value: number): string {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e7))
    return Number.isInteger(value) ? value.toFixed(1) : String(value);
  const [digits, exponent] = value.toExponential().split('e');
  return `${digits!.includes('.') ? digits : `${digits}.0`}E${Number(exponent)}`;
}

/** The sentence with which Kafka refuses a value; a secret is not repeated. */
export function invalidValueMessage(
  definition: ConfigDefinition,
  text: string | null,
  reason: string,
): string {
  const shown = definition.sensitive ? '[hidden]' : text;
  return `Invalid value ${shown} for configuration ${definition.name}: ${reason}`;
}

/** What a key accepts, for people: "a whole number from 1 to 9, or -1". */
export function describeAllowed({ type, min, max, values, also }: ConfigDefinition): string {
  if (values !== undefined) {
    const shown = values.map((value) => (value === '' ? '(empty)' : value)).join(', ');
    return type === 'list' ? `any of ${shown}` : values.length === 1 ? shown : `one of ${shown}`;
  }
  const kinds: Record<ConfigType, string> = {
    boolean: 'true or false',
    string: 'text',
    class: 'text',
    password: 'text',
    list: 'a list separated by commas',
    short: 'a whole number',
    int: 'a whole number',
    long: 'a whole number',
    double: 'a number',
  };
  const limits =
    min !== undefined && max !== undefined
      ? ` from ${min} to ${max}`
      : min !== undefined
        ? ` of at least ${min}`
        : max !== undefined
          ? ` of at most ${max}`
          : '';
  return `${kinds[type]}${limits}${also === undefined ? '' : `, or ${also.join(', ')}`}`;
}
