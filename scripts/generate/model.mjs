// Turns Kafka's message JSON into a model in which every question about a version has a direct answer.

/**
 * @typedef {{lo: number, hi: number}} Range             versions, both ends included
 * @typedef {object} Field
 * @property {string} name       Kafka's name, in camelCase
 * @property {string} type       a primitive's name, or a struct's
 * @property {boolean} array
 * @property {Range|null} versions
 * @property {Range|null} nullable
 * @property {Range|null} tagged
 * @property {number} tag        -1 if never tagged
 * @property {boolean} ignorable
 * @property {string|undefined} default   as written in the JSON
 * @property {boolean} compact   false: keeps the fixed-width length even in flexible versions
 * @property {string} about
 * @property {Struct|null} struct
 *
 * @typedef {object} Struct
 * @property {string} name       Kafka's name
 * @property {string} type       the TypeScript name
 * @property {Range} versions    versions in which the struct is read or written
 * @property {Field[]} fields
 *
 * @typedef {object} Message
 * @property {string} name
 * @property {string} origin     whose message it is
 * @property {string} kind       Kafka's type: request, response, header, data, metadata, coordinator-key, coordinator-value
 * @property {number} apiKey     -1 if none
 * @property {Range} versions
 * @property {number} flexible   first flexible version, -1 if none
 * @property {boolean} latestVersionUnstable
 * @property {Struct} root
 * @property {Struct[]} structs  nested ones first, the root last
 */

const FOREVER = 32767;

/** @returns {Message[]} */
export function buildMessages(definitions) {
  const messages = definitions.map(buildMessage);
  nameStructs(messages);
  return messages;
}

/** @returns {Message} */
function buildMessage(json) {
  const versions = parseRange(json.validVersions);
  const flexible = parseRange(json.flexibleVersions ?? 'none');
  if (flexible && flexible.hi !== FOREVER)
    throw new Error(`${json.name}: flexible versions must be open-ended`);
  const common = new Map((json.commonStructs ?? []).map((struct) => [struct.name, struct]));
  const structs = new Map();
  const root = buildStruct({ name: json.name, fields: json.fields }, versions, common, structs, []);
  return {
    name: json.name,
    origin: json.origin,
    kind: json.type,
    apiKey: json.apiKey ?? -1,
    versions,
    flexible: flexible && flexible.lo <= versions.hi ? flexible.lo : -1,
    latestVersionUnstable: json.latestVersionUnstable === true,
    root,
    structs: [...structs.values()],
  };
}

/** Builds a struct and, before it, those it contains. A struct used twice gets the versions of both uses. */
function buildStruct(json, versions, common, structs, parents) {
  if (parents.includes(json.name))
    throw new Error(`${json.name} contains itself: nesting would have no bound`);
  const known = structs.get(json.name);
  const range = known ? union(known.versions, versions) : versions;
  const fields = json.fields.map((field) => {
    const built = buildField(field, range);
    if (!/^[A-Z]/.test(built.type)) return built;
    const nested = field.fields ? { name: built.type, fields: field.fields } : common.get(built.type);
    if (!nested) throw new Error(`${json.name}.${field.name}: no struct ${built.type}`);
    built.struct = buildStruct(nested, built.versions ?? range, common, structs, [...parents, json.name]);
    return built;
  });
  const struct = known ?? { name: json.name, type: json.name, versions: range, fields };
  struct.versions = range;
  struct.fields = fields;
  structs.set(json.name, struct);
  return struct;
}

/** @returns {Field} */
function buildField(json, context) {
  const [, brackets, type] = /^(\[\])?(\w+)$/.exec(json.type);
  const clip = (text) => intersect(parseRange(text ?? 'none'), context);
  const field = {
    name: json.name[0].toLowerCase() + json.name.slice(1),
    type,
    array: brackets !== undefined,
    versions: clip(json.versions ?? json.taggedVersions),
    nullable: clip(json.nullableVersions),
    tagged: clip(json.taggedVersions),
    tag: json.tag ?? -1,
    ignorable: json.ignorable === true,
    // Kafka takes a literal null, unlike the text "null", for "no default given".
    default: json.default === null || json.default === undefined ? undefined : String(json.default),
    compact: json.flexibleVersions !== 'none',
    about: json.about ?? '',
    struct: null,
  };
  // Kafka tags a field in all versions that have it; the emitters rely on it.
  if (field.tagged && (field.tagged.lo !== field.versions.lo || field.tagged.hi !== field.versions.hi)) {
    throw new Error(`${json.name}: tagged in some of its versions only`);
  }
  if (field.tagged && field.type === 'records')
    throw new Error(`${json.name}: the Writer does not tag records`);
  return field;
}

/** A struct keeps Kafka's own name, unless another message has one of that name too; then the message's name goes in front. */
function nameStructs(messages) {
  const uses = new Map();
  for (const message of messages) {
    for (const { name } of message.structs) uses.set(name, (uses.get(name) ?? 0) + 1);
  }
  const taken = new Set();
  for (const message of messages) {
    const stem = message.name.replace(/(Request|Response)$/, '');
    for (const struct of message.structs) {
      const clear = uses.get(struct.name) === 1 || (struct.name.startsWith(stem) && !taken.has(struct.name));
      struct.type = clear ? struct.name : message.name + struct.name;
      if (taken.has(struct.type)) throw new Error(`two structs named ${struct.type}`);
      taken.add(struct.type);
    }
  }
}

/** "3+", "0-4", "2" or "none". */
function parseRange(text) {
  if (text === 'none') return null;
  const match = /^(\d+)(\+|-(\d+))?$/.exec(text);
  if (!match) throw new Error(`bad version range ${text}`);
  const lo = Number(match[1]);
  return { lo, hi: match[3] !== undefined ? Number(match[3]) : match[2] ? FOREVER : lo };
}

export function includes(range, version) {
  return range !== null && range.lo <= version && version <= range.hi;
}

function intersect(a, b) {
  if (!a || !b) return null;
  const range = { lo: Math.max(a.lo, b.lo), hi: Math.min(a.hi, b.hi) };
  return range.lo <= range.hi ? range : null;
}

function union(a, b) {
  return { lo: Math.min(a.lo, b.lo), hi: Math.max(a.hi, b.hi) };
}
