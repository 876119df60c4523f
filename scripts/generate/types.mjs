// What the emitters know about each type: its TypeScript type, default, wire size, and the Reader and Writer methods for it.

/**
 * @typedef {import('./model.mjs').Field} Field
 * Primitive types of fixed size: bytes on the wire, TypeScript type and default.
 */
const fixed = {
  bool: { size: 1, ts: 'boolean', zero: 'false' },
  int8: { size: 1, ts: 'number', zero: '0' },
  int16: { size: 2, ts: 'number', zero: '0' },
  uint16: { size: 2, ts: 'number', zero: '0' },
  int32: { size: 4, ts: 'number', zero: '0' },
  uint32: { size: 4, ts: 'number', zero: '0' },
  int64: { size: 8, ts: 'bigint', zero: '0n' },
  float64: { size: 8, ts: 'number', zero: '0' },
  uuid: { size: 16, ts: 'Uuid', zero: 'ZERO_UUID' },
};

export function isFixed(type) {
  return type in fixed;
}

/** Types with a length in front: the suffix of their Reader and Writer methods. */
export const lengthPrefixed = { string: 'String', bytes: 'Bytes', records: 'Records' };

/**
 * A struct that travels only as a tagged field is null when absent, which costs no object. Not so if Kafka tells an explicit null
 * from an absent one.
 */
export function isOptionalStruct(field) {
  if (field.struct === null || field.array || field.tagged === null) return false;
  return field.nullable === null || field.default === 'null';
}

/** The TypeScript type of a field. @param {Field} field */
export function typeOf(field, kind) {
  const element = elementTypeOf(field, kind);
  const type = field.array ? `${element}[]` : element;
  const nullable = field.nullable || isOptionalStruct(field);
  return nullable && !type.endsWith('| null') && type !== 'RecordsPayload' ? `${type} | null` : type;
}

export function elementTypeOf(field, kind) {
  if (field.struct) return field.struct.type;
  if (field.type === 'string') return 'string';
  if (field.type === 'bytes') return 'Uint8Array';
  // Only responses carry records that the program passes on without seeing their bytes.
  if (field.type === 'records') return kind === 'response' ? 'RecordsPayload' : 'Uint8Array | null';
  return fixed[field.type].ts;
}

/** The default of a field as a TypeScript expression. @param {Field} field */
export function defaultOf(field) {
  const text = field.default;
  if (text === 'null' || isOptionalStruct(field) || field.type === 'records') return 'null';
  if (field.array) return '[]';
  if (field.struct) return `create${field.struct.type}()`;
  if (field.type === 'string') return `'${text ?? ''}'`;
  if (field.type === 'bytes') return 'EMPTY_BYTES';
  if (field.type === 'bool') return text ?? 'false';
  if (field.type === 'int64') return text === undefined ? '0n' : `${BigInt(text)}n`;
  if (field.type === 'uuid') return 'ZERO_UUID';
  return text === undefined ? fixed[field.type].zero : String(Number(text));
}

/** A condition that holds when the value (an expression) is not the field's default. @param {Field} field */
export function differsFromDefault(field, value) {
  const standard = defaultOf(field);
  if (standard === 'null') {
    return isOptionalStruct(field) && !field.nullable
      ? `${value} !== null && !isDefault${field.struct.type}(${value})`
      : `${value} !== null`;
  }
  if (field.array || field.type === 'bytes') {
    return field.nullable ? `${value}?.length !== 0` : `${value}.length !== 0`;
  }
  if (field.struct) {
    const differs = `!isDefault${field.struct.type}(${value})`;
    return field.nullable ? `(${value} === null || ${differs})` : differs;
  }
  if (field.type === 'bool') return standard === 'false' ? value : `!${value}`;
  return `${value} !== ${standard}`;
}

/** The least number of bytes that an element of the array takes in any version. @param {Field} field */
export function minimumElementSize(field, isFlexible) {
  if (isFixed(field.type)) return fixed[field.type].size;
  if (!field.struct) return 1;
  const { lo, hi } = field.struct.versions;
  let least = Number.POSITIVE_INFINITY;
  for (let version = lo; version <= hi; version++) {
    least = Math.min(least, minimumStructSize(field.struct, version, isFlexible));
  }
  if (least === 0)
    throw new Error(`an element of ${field.name} takes no bytes: its count would have no bound`);
  return least;
}

function minimumStructSize(struct, version, isFlexible) {
  let size = isFlexible(version) ? 1 : 0;
  for (const field of struct.fields) {
    const present = field.versions && field.versions.lo <= version && version <= field.versions.hi;
    if (!present || field.tagged) continue;
    const compact = isFlexible(version) && field.compact;
    const nullable = field.nullable && field.nullable.lo <= version && version <= field.nullable.hi;
    if (field.array) size += compact ? 1 : 4;
    else if (field.struct) size += nullable ? 1 : minimumStructSize(field.struct, version, isFlexible);
    else if (isFixed(field.type)) size += fixed[field.type].size;
    else if (compact) size += 1;
    else size += field.type === 'string' ? 2 : 4;
  }
  return size;
}
