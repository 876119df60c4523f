// Emits the function that reads a struct.

import { includes } from './model.mjs';
import { defaultOf, isFixed, lengthPrefixed, minimumElementSize, typeOf } from './types.mjs';
import { chainExpression, indent } from './versions.mjs';

/** Names that a local variable cannot have. */
const reserved = new Set(['version', 'r', 'tags', 'end', 'default', 'delete', 'new', 'count']);

/** @param {import('./model.mjs').Struct} struct @param {import('./emit-message.mjs').Context} context @returns {string[]} */
export function emitRead(struct, context) {
  const body = [];
  for (const field of struct.fields) body.push(...readField(field, struct, context));
  body.push(...readTags(struct, context));
  body.push('return {');
  for (const field of struct.fields) {
    const local = localName(field);
    body.push(local === field.name ? `  ${field.name},` : `  ${field.name}: ${local},`);
  }
  body.push('};');
  const parameters = ['r: Reader', ...context.versionParameter(`read${struct.type}`, body)];
  return [`function read${struct.type}(${parameters.join(', ')}): ${struct.type} {`, ...indent(body), '}'];
}

function localName(field) {
  return reserved.has(field.name) ? `${field.name}Value` : field.name;
}

function readField(field, struct, context) {
  const local = localName(field);
  const type = typeOf(field, context.kind);
  if (field.tagged) return [`let ${local}: ${type} = ${defaultOf(field)};`];
  if (field.array) return readArray(field, struct.versions, context, local, `const ${local}: ${type} =`);
  const value = chainExpression(struct.versions, (version) =>
    includes(field.versions, version) ? readOne(field, version, context) : defaultOf(field),
  );
  return [`const ${local} = ${value};`];
}

/** An expression that reads one value that is not an array, or one element of an array. */
function readOne(field, version, context) {
  const nullable = !field.array && includes(field.nullable, version);
  if (field.struct) {
    const read = context.call(`read${field.struct.type}`, 'r');
    // As Kafka's own classes: whether a struct is there is a varint within a tag, and an int8 elsewhere.
    const isNull = field.tagged ? 'r.uvarint() === 0' : 'r.int8() < 0';
    return nullable ? `(${isNull} ? null : ${read})` : read;
  }
  if (isFixed(field.type)) return `r.${field.type}()`;
  return `r.${methodName(field, nullable, context.isCompact(field, version))}()`;
}

/** `compactNullableString`, `nullableString`, `compactString` or `string`, and likewise for bytes and records. */
export function methodName(field, nullable, compact) {
  const name = `${compact ? 'Compact' : ''}${nullable ? 'Nullable' : ''}${lengthPrefixed[field.type]}`;
  return name[0].toLowerCase() + name.slice(1);
}

function readArray(field, range, context, local, assignment) {
  const size = minimumElementSize(field, context.isFlexible);
  const absent = defaultOf(field) === 'null' ? '-1' : '0';
  const count = field.tagged ? 'count' : `${local}Count`;
  const length = chainExpression(range, (version) => {
    if (!includes(field.versions, version)) return absent;
    const method = context.isCompact(field, version) ? 'compactArrayLength' : 'arrayLength';
    return `r.${includes(field.nullable, version) ? nullableMethod(method) : method}(${size})`;
  });
  const present = field.versions ?? range;
  const element = chainExpression(present, (version) => readOne(field, version, context));
  const push = `${local}${field.nullable ? '!' : ''}.push(${element})`;
  return [
    `const ${count} = ${length};`,
    `${assignment} ${field.nullable ? `${count} < 0 ? null : []` : '[]'};`,
    `for (let i = 0; i < ${count}; i++) ${push};`,
  ];
}

function nullableMethod(method) {
  return method === 'arrayLength' ? 'nullableArrayLength' : 'compactNullableArrayLength';
}

/** The loop over tagged fields; tags that this version does not know are skipped. */
function readTags(struct, context) {
  const { versions } = struct;
  if (!context.isFlexible(versions.hi)) return [];
  const tagged = struct.fields.filter((field) => field.tagged);
  const lines = tagged.length === 0 ? ['r.skipTags();'] : readKnownTags(tagged, struct, context);
  if (context.isFlexible(versions.lo)) return lines;
  const test = `if (version >= ${context.flexible})`;
  return lines.length === 1 ? [`${test} ${lines[0]}`] : [`${test} {`, ...indent(lines), '}'];
}

function readKnownTags(tagged, struct, context) {
  const cases = tagged.flatMap((field) => {
    const local = localName(field);
    const read = field.array
      ? readArray(field, field.tagged, context, local, `${local} =`)
      : [`${local} = ${chainExpression(field.tagged, (version) => readOne(field, version, context))};`];
    const first = Math.max(context.flexible, struct.versions.lo);
    const skip = field.tagged.lo > first ? [`if (version < ${field.tagged.lo}) break;`] : [];
    return [`case ${field.tag}: {`, ...indent([...skip, ...read, 'r.endTag(end);', 'break;']), '}'];
  });
  return [
    'for (let tags = r.tagCount(); tags > 0; tags--) {',
    '  const tag = r.uvarint();',
    '  const end = r.beginTag();',
    '  switch (tag) {',
    ...indent(indent(cases)),
    '  }',
    '  r.position = end;',
    '}',
  ];
}
