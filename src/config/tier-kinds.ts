/** What is special about a kind of storage tier; of a directory on some disk nothing is. */
export interface TierKind {
  /** A restart of the machine empties it: what lies only there is lost then. */
  readonly isVolatile: boolean;
  /** Its files are mapped, and durable once the processor's caches are flushed. */
  readonly isPersistentMemory: boolean;
}

const DISK: TierKind = { isVolatile: false, isPersistentMemory: false };

const KINDS: Readonly<Record<string, TierKind | undefined>> = {
  MEMORY: { ...DISK, isVolatile: true },
  PMEM: { ...DISK, isPersistentMemory: true },
};

/** `type`: one of storage.tiers.types. */
export function tierKind(type: string): TierKind {
  return KINDS[type] ?? DISK;
}
