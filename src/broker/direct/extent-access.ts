import { arenaStats } from '../../native/arena.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import { ExtentParts } from './extent-parts.ts';
import type { Wanted } from './move-plan.ts';
import {
  expansionBytes,
  lackOfMemory,
  type PartOfValue,
  type PayloadSource,
  type ReadPlan,
  uncompressed,
} from './payload-source.ts';

/** For memory. Clients are told to try again before they would take the gateway for dead. */
export const ROOM_TIMEOUT_MS = 10_000;
/** What was in memory may be there no more when there is room for the rest. */
const MAX_FINDS = 2;

/** What is wanted of one extent. */
export type Group = readonly Wanted[];

/** An extent: in memory as it was appended, or how it is read. */
export type Access =
  | { readonly found: MemoryPiece; readonly plan: null }
  | { readonly found: null; readonly plan: ReadPlan };

/** One for each group, where it is in memory. */
type Found = readonly (MemoryPiece | null)[];

/** Extents that can be opened: there is room for what that takes. */
export interface Granted {
  readonly accesses: readonly Access[];
  /** To be called when they have been opened and are no longer needed, or will not be opened. */
  done(): void;
}

/** Finds the extents of requests, and waits for the memory that it takes to read, expand or gather them. */
export class ExtentAccess {
  readonly #source: PayloadSource;
  readonly #memory: MemoryBudget;

  constructor(source: PayloadSource, memory: MemoryBudget) {
    this.#source = source;
    this.#memory = memory;
  }

  /** The extent of a group, if it is in memory; an error is found again when it is read. */
  find([first]: Group): MemoryPiece | null {
    try {
      return this.#source.find(first!.signed);
    } catch {
      return null;
    }
  }

  /** As `find`, of as much of the extent as the group needs. */
  findParts(group: Group): ExtentParts | null {
    try {
      return this.#source.findParts(group[0]!.signed, group.map(partOf));
    } catch {
      return null;
    }
  }

  /**
   * Nothing is held while room is waited for: others may wait for that.
   * @param more bytes that are needed beside
   * @param isGone whether nobody wants it any more
   * @throws ApiError when there is no room in time, or never will be
   */
  async acquire(groups: readonly Group[], more: number, isGone: () => boolean): Promise<Granted> {
    let granted = 0;
    for (let attempt = 1; attempt <= MAX_FINDS; attempt++) {
      const found = groups.map((group) => this.find(group));
      const accesses: readonly Access[] = found.includes(null)
        ? await this.#plan(groups, found)
        : found.map((piece) => ({ found: piece!, plan: null }));
      const bytes = groups.reduce((sum, group, i) => sum + memoryFor(group, accesses[i]!), more);
      if (bytes <= granted) return this.#granted(accesses, granted);
      this.#memory.taken(granted);
      granted = 0;
      const room = this.#room(bytes, found, isGone);
      if (room === true) return this.#granted(accesses, bytes);
      releaseAll(found);
      if (!(await room)) throw lackOfMemory();
      granted = bytes;
    }
    this.#memory.taken(granted);
    throw lackOfMemory();
  }

  #granted(accesses: readonly Access[], bytes: number): Granted {
    return { accesses, done: () => this.#memory.taken(bytes) };
  }

  /** Whether there is room now, or in time. @throws ApiError when there never will be; what was found is released then */
  #room(bytes: number, found: Found, isGone: () => boolean): true | Promise<boolean> {
    const { capacityBytes } = arenaStats();
    if (bytes <= capacityBytes / 2) return this.#memory.acquireWithin(bytes, ROOM_TIMEOUT_MS, isGone);
    releaseAll(found);
    throw new ApiError(
      ErrorCode.MESSAGE_TOO_LARGE,
      `${bytes} bytes have to be read or expanded for one request, the gateway has memory for half of ${capacityBytes} (arena.bytes)`,
    );
  }

  /** Takes over what was found: released when it rejects. */
  async #plan(groups: readonly Group[], found: Found): Promise<Access[]> {
    const planned = groups.map(async (group, i): Promise<Access> => {
      const piece = found[i]!;
      return piece === null
        ? { found: null, plan: await this.#source.plan(group[0]!.signed, group.map(partOf)) }
        : { found: piece, plan: null };
    });
    try {
      return await Promise.all(planned);
    } catch (error) {
      releaseAll(found);
      throw error;
    }
  }
}

/** Takes over what was found. Compressed extents are read as a whole. */
export async function openExtent({ found, plan }: Access, signed: SignedReference): Promise<ExtentParts> {
  if (expansionBytes(signed) === 0) return found === null ? plan.read() : ExtentParts.whole(found);
  const parts = found === null ? await plan.read() : ExtentParts.whole(found);
  return ExtentParts.whole(await uncompressed(parts.takeWhole(), signed));
}

/** What has to be allocated to serve the items of one extent from it. */
function memoryFor([first]: Group, { plan }: Access): number {
  return (plan?.bytes ?? 0) + expansionBytes(first!.signed);
}

function partOf({ signed: { reference }, blocks }: Wanted): PartOfValue {
  return { valueOffset: reference.valueOffset, blocks };
}

function releaseAll(found: Found): void {
  for (const piece of found) piece?.memory.release();
}
