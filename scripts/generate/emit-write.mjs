// Emits the function that writes a struct.
import { methodName } from './emit-read.mjs';
import { includes } from './model.mjs';
import { differsFromDefault, isFixed, isOptionalStruct, typeOf } from './types.mjs';
import { chainStatements, guard, indent } from './versions.mjs';

/** @param {import('./model.mjs').Struct} struct @param {import('./emit-message.mjs').Context} context @returns {string[]} */
export function emitWrite(struct, context) {
  const body = [];
  for (const field of struct.fields) body.push(...writeField(field, struct, context));
  body.push(...writeTags(struct, context));
  const parameters = [
    body.length === 0 ? '_w: Writer' : 'w: Writer',
    struct.fields.length === 0 ? `_m: ${struct.type}` : `m: ${struct.type}`,
    ...context.versionParameter(`write${struct.type}`, body),
  ];
  return [`function write${struct.type}(${parameters.join(', ')}): void {`, ...indent(body), '}'];
}

function writeField(field, struct, context) {
  if (field.array && !field.tagged) return writeArray(field, struct, context);
  return chainStatements(struct.versions, (version) => {
    if (!includes(field.versions, version)) return refuse(field, context);
    return field.tagged ? null : writePresent(field, version, context);
  });
}

/** Kafka's rule: a value that the version cannot carry is an error, unless the field may be ignored. */
function refuse(field, context) {
  if (field.ignorable) return null;
  return [
    `if (${differsFromDefault(field, `m.${field.name}`)}) throw unsupportedField('${context.name}', '${field.name}', version);`,
  ];
}

function writePresent(field, version, context) {
  const value = `m.${field.name}`;
  if (!field.array) return writeOne(field, value, version, context, includes(field.nullable, version));
  return [
    writeLength(field, version, context),
    ...writeElements(field, { lo: version, hi: version }, context),
  ];
}

/** Lengths take another form more often than elements do, so the loop stands outside the chain of versions. */
function writeArray(field, struct, context) {
  const lengths = chainStatements(struct.versions, (version) =>
    includes(field.versions, version) ? [writeLength(field, version, context)] : refuse(field, context),
  );
  if (!field.versions) return lengths;
  const { lo, hi } = field.versions;
  const tests = [];
  if (lo > struct.versions.lo) tests.push(`version >= ${lo}`);
  if (hi < struct.versions.hi) tests.push(`version <= ${hi}`);
  return [...lengths, ...guard(tests, writeElements(field, field.versions, context))];
}

function writeLength(field, version, context) {
  const name = `${includes(field.nullable, version) ? 'Nullable' : ''}ArrayLength`;
  const method = context.isCompact(field, version) ? `compact${name}` : name[0].toLowerCase() + name.slice(1);
  return `w.${method}(m.${field.name});`;
}

function writeElements(field, range, context) {
  const element = chainStatements(range, (version) =>
    writeOne({ ...field, array: false, nullable: null, tagged: null }, 'item', version, context, false),
  );
  const items = field.nullable ? `m.${field.name} ?? []` : `m.${field.name}`;
  const loop = `for (const item of ${items})`;
  return element.length === 1 ? [`${loop} ${element[0]}`] : [`${loop} {`, ...indent(element), '}'];
}

function writeOne(field, value, version, context, nullable) {
  if (!field.struct) {
    const method = isFixed(field.type)
      ? field.type
      : methodName(field, nullable, context.isCompact(field, version));
    const written = isMessage(field, context) ? `fitting(${value})` : value;
    return [`w.${method}(${written});`];
  }
  const write = `${context.call(`write${field.struct.type}`, 'w', value)};`;
  if (!nullable) {
    if (typeOf(field, context.kind).endsWith('| null') && !field.tagged) {
      return [`if (${value} === null) throw nullField('${context.name}', '${field.name}', version);`, write];
    }
    return [write];
  }
  // A tagged struct that is null is left out altogether.
  if (isOptionalStruct(field)) return ['w.int8(1);', write];
  const absent = field.tagged ? 'w.int8(0);' : 'w.int8(-1);';
  return [`if (${value} === null) {`, `  ${absent}`, '} else {', '  w.int8(1);', `  ${write}`, '}'];
}

/** Text for people in a response: it may name what is as long as a string can be, and must fit nevertheless. */
function isMessage({ name, type }, { kind }) {
  return kind === 'response' && type === 'string' && /(errorMessage|statusDetail)$/i.test(name);
}

/** The section of tagged fields: those that differ from their defaults, ascending by tag. */
function writeTags(struct, context) {
  const { versions } = struct;
  if (!context.isFlexible(versions.hi)) return [];
  const tagged = struct.fields.filter((field) => field.tagged).sort((a, b) => a.tag - b.tag);
  const lines = tagged.length === 0 ? ['w.uvarint(0);'] : writeKnownTags(tagged, struct, context);
  if (context.isFlexible(versions.lo)) return lines;
  const test = `if (version >= ${context.flexible})`;
  return lines.length === 1 ? [`${test} ${lines[0]}`] : [`${test} {`, ...indent(lines), '}'];
}

function writeKnownTags(tagged, struct, context) {
  const first = Math.max(context.flexible, struct.versions.lo);
  const present = (field) => {
    const differs = differsFromDefault(field, `m.${field.name}`);
    return field.tagged.lo > first ? `version >= ${field.tagged.lo} && ${differs}` : differs;
  };
  const lines = ['let tags = 0;'];
  for (const field of tagged) lines.push(`if (${present(field)}) tags++;`);
  lines.push('w.uvarint(tags);');
  for (const field of tagged) {
    const value = chainStatements(field.tagged, (version) => writePresent(field, version, context));
    lines.push(
      `if (${present(field)}) {`,
      `  const start = w.beginTag(${field.tag});`,
      ...indent(value),
      '  w.endTag(start);',
      '}',
    );
  }
  return lines;
}
