/** What the policy needs to know of a tier. */
export interface TierView {
  /** Bytes that it may hold on the paths that are in use. */
  readonly capacityBytes: number;
  /** Bytes of payload on these, with what is on its way to them and without what is leaving. */
  readonly usedBytes: number;
  /** The largest file that it has room for. */
  readonly roomBytes: number;
}

/** A complete payload file that can be moved. */
export interface FileView {
  /** Where it is; as many as there are tiers: in a directory of its partition, below the last tier. */
  readonly tier: number;
  readonly bytes: number;
  /** When it was last appended to. */
  readonly modifiedMs: number;
  /** The tier in which it is to stay; null: none. */
  readonly pin: number | null;
}

export interface Move<F> {
  readonly file: F;
  readonly to: number;
}

/**
 * Which file to move next, if any:
 *  1. one that is not in the tier to which its topic is pinned, when that has room;
 *  2. from the first tier that is fuller than the threshold, its oldest file for which a tier below has room, to the next that has it;
 *  3. into the first tier that stays below the threshold with it, the newest file of the tiers below. The last tier has no threshold.
 * So the newest payload is in the first tiers, and nothing moves to and fro.
 * @param threshold a share of the capacity; negative: nothing moves
 */
export function nextMove<F extends FileView>(
  tiers: readonly TierView[],
  files: Iterable<F>,
  threshold: number,
): Move<F> | null {
  if (threshold < 0 || tiers.length === 0) return null;
  const known = summarize(tiers, files);
  for (const file of known.misplaced) {
    const to = pinOf(file, tiers.length)!;
    if (file.bytes <= tiers[to]!.roomBytes) return { file, to };
  }
  const last = tiers.length - 1;
  for (let tier = 0; tier < last; tier++) {
    const { usedBytes, capacityBytes } = tiers[tier]!;
    const file = known.oldest[tier]!;
    if (file === null || usedBytes <= threshold * capacityBytes) continue;
    for (let to = tier + 1; to <= last; to++) if (file.bytes <= tiers[to]!.roomBytes) return { file, to };
  }
  for (let to = 0; to <= last; to++) {
    const file = newestBelow(known.newest, to);
    if (file === null) continue;
    const { usedBytes, capacityBytes, roomBytes } = tiers[to]!;
    const limit = to === last ? capacityBytes : threshold * capacityBytes;
    if (file.bytes <= roomBytes && usedBytes + file.bytes <= limit) return { file, to };
  }
  return null;
}

/** A pin to a tier that is not there any more is one to the last. */
function pinOf({ pin }: FileView, tiers: number): number | null {
  return pin === null ? null : Math.min(pin, tiers - 1);
}

interface Summary<F> {
  /** Not in the tier to which they are pinned; newest first. */
  readonly misplaced: readonly F[];
  /** Of each tier, those that are not pinned; one more than there are tiers. `oldest`: of those that fit into a tier below. */
  readonly oldest: readonly (F | null)[];
  readonly newest: readonly (F | null)[];
}

function summarize<F extends FileView>(tiers: readonly TierView[], files: Iterable<F>): Summary<F> {
  const misplaced: F[] = [];
  const oldest = new Array<F | null>(tiers.length + 1).fill(null);
  const newest = new Array<F | null>(tiers.length + 1).fill(null);
  const roomBelow = oldest.map((_, tier) =>
    Math.max(0, ...tiers.slice(tier + 1).map(({ roomBytes }) => roomBytes)),
  );
  for (const file of files) {
    const { tier, bytes, modifiedMs } = file;
    const pin = pinOf(file, tiers.length);
    if (pin !== null) {
      if (pin !== tier) misplaced.push(file);
      continue;
    }
    const [old, young] = [oldest[tier] ?? null, newest[tier] ?? null];
    const fits = bytes <= roomBelow[tier]!;
    if (fits && (old === null || modifiedMs < old.modifiedMs)) oldest[tier] = file;
    if (young === null || modifiedMs >= young.modifiedMs) newest[tier] = file;
  }
  misplaced.sort((a, b) => b.modifiedMs - a.modifiedMs);
  return { misplaced, oldest, newest };
}

function newestBelow<F extends FileView>(newest: readonly (F | null)[], tier: number): F | null {
  let found: F | null = null;
  for (const file of newest.slice(tier + 1))
    if (file !== null && (found === null || file.modifiedMs > found.modifiedMs)) found = file;
  return found;
}
