import { isIP } from 'node:net';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { type QuotaEntity, type QuotaEntry, quotaRecord } from '../metadata/quota-state.ts';
import type { MetadataRecord } from '../metadata/records.ts';
import { limitChanges } from '../metadata/request-limit.ts';
import type { MetadataState } from '../metadata/state.ts';

export const USER = 'user';
export const CLIENT_ID = 'client-id';
export const IP = 'ip';
const ENTITY_TYPES: readonly string[] = [USER, CLIENT_ID, IP];

/** The largest value of each key; whole numbers only where it is one. */
const CLIENT_KEYS: ReadonlyMap<string, { max: number; type: 'LONG' | 'INT' | 'DOUBLE' }> = new Map([
  ['producer_byte_rate', { max: 2 ** 63, type: 'LONG' }],
  ['consumer_byte_rate', { max: 2 ** 63, type: 'LONG' }],
  ['request_percentage', { max: Number.POSITIVE_INFINITY, type: 'DOUBLE' }],
  ['controller_mutation_rate', { max: Number.POSITIVE_INFINITY, type: 'DOUBLE' }],
]);
const IP_KEYS: typeof CLIENT_KEYS = new Map([
  ['connection_creation_rate', { max: 2 ** 31 - 1, type: 'INT' }],
]);
const ERROR_BELOW_A_WHOLE = 1e-6;

export interface QuotaAlteration {
  readonly entity: QuotaEntity;
  readonly ops: readonly { readonly key: string; readonly value: number; readonly remove: boolean }[];
}

/** The parts of an entity in the order in which Kafka's answers have them: client-id before user. */
export function entityParts(entity: QuotaEntity): { entityType: string; entityName: string | null }[] {
  return [...entity]
    .map(([entityType, entityName]) => ({ entityType, entityName }))
    .sort((a, b) => (a.entityType < b.entityType ? -1 : 1));
}

/** The order in which Kafka's map gives up to three of them; clients' own tests compare whole answers. */
const KEY_ORDER = [
  'consumer_byte_rate',
  'controller_mutation_rate',
  'request_percentage',
  'producer_byte_rate',
  'connection_creation_rate',
];

/** The values of an entry in the order of Kafka's answers. */
export function entryValues(values: QuotaEntry['values']): { key: string; value: number }[] {
  return [...values]
    .map(([key, value]) => ({ key, value }))
    .sort((a, b) => KEY_ORDER.indexOf(a.key) - KEY_ORDER.indexOf(b.key));
}

/** Kafka's match types. */
const QuotaMatch = { EXACT: 0, DEFAULT: 1, SPECIFIED: 2 } as const;

export interface QuotaFilter {
  readonly entityType: string;
  readonly matchType: number;
  readonly match: string | null;
}

/** Describes and alters client quotas (KIP-546), as Kafka's controller does. */
export class QuotaManager {
  readonly #metadata: ClusterMetadata;

  constructor(metadata: ClusterMetadata) {
    this.#metadata = metadata;
  }

  /** The entries that a filter selects. @throws ApiError for a filter that makes no sense */
  describe(components: readonly QuotaFilter[], strict: boolean): QuotaEntry[] {
    const filter = parseFilter(components);
    return [...this.#metadata.state.quotas.entries()].filter(({ entity }) => {
      if (strict && entity.size !== filter.size) return false;
      for (const [type, name] of filter) {
        if (!entity.has(type)) return false;
        if (name !== undefined && entity.get(type) !== name) return false;
      }
      return true;
    });
  }

  /**
   * Changes what can be changed; the outcomes, null for success, are in the order of the alterations.
   * @throws ApiError for more than one request may change
   */
  alter(alterations: readonly QuotaAlteration[], validateOnly: boolean): Promise<(ApiError | null)[]> {
    limitChanges(alterations.reduce((count, { ops }) => count + Math.max(1, ops.length), 0));
    return this.#metadata.change((state) => {
      const records: MetadataRecord[] = [];
      const seen = new Set<string>();
      const outcomes = alterations.map(({ entity, ops }) => {
        try {
          const name = describeEntity(entity);
          const repeated = seen.has(name) || new Set(ops.map(({ key }) => key)).size < ops.length;
          seen.add(name);
          if (repeated) throw new ApiError(ErrorCode.INVALID_REQUEST, `Ignoring duplicate entity ${name}`);
          records.push(...planned(state, entity, ops));
          return null;
        } catch (error) {
          if (error instanceof ApiError) return error;
          throw error;
        }
      });
      if (validateOnly) return { records: [], result: outcomes };
      return { records, result: outcomes, applied: async () => this.#metadata.notifyQuotasChanged() };
    });
  }
}

/** The same for one entity in whatever order it was given. */
function describeEntity(entity: QuotaEntity): string {
  const parts = entityParts(entity).map(({ entityType, entityName }) => `${entityType}=${entityName}`);
  return `ClientQuotaEntity(entries={${parts.join(', ')}})`;
}

function planned(state: MetadataState, entity: QuotaEntity, ops: QuotaAlteration['ops']): MetadataRecord[] {
  const keys = keysOf(entity);
  const current = state.quotas.valuesOf(entity);
  const records: MetadataRecord[] = [];
  for (const { key, value, remove } of ops) {
    if (remove) {
      if (current.has(key)) records.push(quotaRecord(entity, key, null));
      continue;
    }
    checkValue(keys, key, value);
    if (current.get(key) !== value) records.push(quotaRecord(entity, key, value));
  }
  return records;
}

function invalid(message: string): never {
  throw new ApiError(ErrorCode.INVALID_REQUEST, message);
}

/** The keys that an entity may have. */
function keysOf(entity: QuotaEntity): typeof CLIENT_KEYS {
  if (entity.size === 0) invalid('Invalid empty client quota entity');
  for (const [type, name] of entity) {
    if (!ENTITY_TYPES.includes(type)) invalid(`Unhandled client quota entity type: ${type}`);
    if (name === '') invalid(`Empty ${type} not supported`);
  }
  if (!entity.has(IP)) return CLIENT_KEYS;
  if (entity.size > 1)
    invalid('Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId');
  const ip = entity.get(IP) ?? null;
  if (ip !== null && isIP(ip) === 0) invalid(`${ip} is not a valid IP or resolvable host.`);
  return IP_KEYS;
}

function checkValue(keys: typeof CLIENT_KEYS, key: string, value: number): void {
  const limits = keys.get(key);
  if (limits === undefined) throw new ApiError(ErrorCode.INVALID_REQUEST, `Invalid configuration key ${key}`);
  if (!(value > 0)) invalid(`Quota ${key} must be greater than 0`);
  const { max, type } = limits;
  if (value > max)
    invalid(`Proposed value for ${key} is too large for ${type === 'INT' ? 'an' : 'a'} ${type}.`);
  if (type !== 'DOUBLE' && Math.abs(value % 1) > ERROR_BELOW_A_WHOLE)
    invalid(`${key} cannot be a fractional value.`);
}

/** Types to the name that is wanted: null for the default, undefined for any. */
function parseFilter(components: readonly QuotaFilter[]): Map<string, string | null | undefined> {
  const filter = new Map<string, string | null | undefined>();
  for (const { entityType, matchType, match } of components) {
    if (entityType === '') invalid('Invalid empty entity type.');
    if (filter.has(entityType))
      invalid(`Entity type ${entityType} cannot appear more than once in the filter.`);
    if (!ENTITY_TYPES.includes(entityType))
      throw new ApiError(ErrorCode.UNSUPPORTED_VERSION, `Unsupported entity type ${entityType}`);
    switch (matchType) {
      case QuotaMatch.EXACT:
        if (match === null) invalid('Request specified MATCH_TYPE_EXACT, but set match string to null.');
        filter.set(entityType, match);
        break;
      case QuotaMatch.DEFAULT:
        if (match !== null)
          invalid('Request specified MATCH_TYPE_DEFAULT, but also specified a match string.');
        filter.set(entityType, null);
        break;
      case QuotaMatch.SPECIFIED:
        if (match !== null)
          invalid('Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.');
        filter.set(entityType, undefined);
        break;
      default:
        invalid(`Unknown match type ${matchType}`);
    }
  }
  if (filter.has(IP) && filter.size > 1)
    invalid(
      'Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.',
    );
  return filter;
}
