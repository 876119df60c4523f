import type { ClientQuotaRecord } from '../../protocol/generated/client-quota-record.ts';
import { type MetadataRecord, metadataRecord } from './records.ts';

/** Kafka's entity types to their names; null names the default of the type. In the order in which they were first set. */
export type QuotaEntity = ReadonlyMap<string, string | null>;

export interface QuotaEntry {
  readonly entity: QuotaEntity;
  /** Kafka's quota keys, such as `producer_byte_rate`. */
  readonly values: ReadonlyMap<string, number>;
}

/** The client quotas that the metadata log sets. */
export class QuotaState {
  readonly #entries = new Map<string, { entity: QuotaEntity; values: Map<string, number> }>();

  entries(): IterableIterator<QuotaEntry> {
    return this.#entries.values();
  }

  valuesOf(entity: QuotaEntity): ReadonlyMap<string, number> {
    return this.#entries.get(keyOf(entity))?.values ?? new Map();
  }

  apply({ entity: parts, key, value, remove }: ClientQuotaRecord): void {
    const entity = new Map(parts.map(({ entityType, entityName }) => [entityType, entityName]));
    const id = keyOf(entity);
    const entry = this.#entries.get(id) ?? { entity, values: new Map<string, number>() };
    if (remove) entry.values.delete(key);
    else entry.values.set(key, value);
    if (entry.values.size === 0) this.#entries.delete(id);
    else this.#entries.set(id, entry);
  }

  *records(): IterableIterator<MetadataRecord> {
    for (const { entity, values } of this.#entries.values())
      for (const [key, value] of values) yield quotaRecord(entity, key, value);
  }
}

/** @param value null removes the key */
export function quotaRecord(entity: QuotaEntity, key: string, value: number | null): MetadataRecord {
  return metadataRecord('clientQuota', {
    entity: [...entity].map(([entityType, entityName]) => ({ entityType, entityName })),
    key,
    value: value ?? 0,
    remove: value === null,
  });
}

function keyOf(entity: QuotaEntity): string {
  return JSON.stringify([...entity].sort(([a], [b]) => (a < b ? -1 : 1)));
}
