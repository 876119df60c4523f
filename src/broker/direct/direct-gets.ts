import { arenaStats } from '../../native/arena.ts';
import type { Blocks } from '../../native/direct.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { Logger } from '../../util/logger.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import type { Attachment } from './attachments.ts';
import { ExtentParts } from './extent-parts.ts';
import { FabricAttachment } from './fabric-attachment.ts';
import { isContiguous, MovePlan, type Wanted } from './move-plan.ts';
import {
  expansionBytes,
  lackOfMemory,
  type PayloadSource,
  type ReadPlan,
  uncompressed,
} from './payload-source.ts';
import { type ReferenceKeys, ReferenceRefused } from './reference-keys.ts';

/** Each is a signature to check, which holds up everybody else. */
const MAX_ITEMS = 4096;
/** For memory; clients wait no longer for an answer, unless they are told to. */
const ROOM_TIMEOUT_MS = 30_000;

export interface GetItem {
  readonly reference: Uint8Array;
  /** Parts of the value, in the order in which they are wanted; none: all of it. */
  readonly ranges: readonly Blocks[];
  readonly region: number;
  readonly targetOffset: number;
}

export interface GotItem {
  errorCode: number;
  errorMessage: string | null;
  /** Of the selected parts. */
  length: number;
  /** CRC-32C of the selected parts, one behind the other. */
  crc: number;
}

export interface Got {
  readonly items: GotItem[];
  /** The selected parts of the items without an error, unless they went to the client's memory; whoever sends them releases them. */
  readonly data: MemoryPiece[];
  /** What was acquired of the room for answers, to be given back when this one has been sent. */
  readonly heldBytes: number;
}

/** The room that answers of one connection have, until the client has taken them. */
export interface AnswerRoom {
  /** The connection is closed. */
  readonly ended: boolean;
  acquire(bytes: number): Promise<void> | undefined;
  release(bytes: number): void;
}

export interface DirectLimits {
  /** `direct.max.request.bytes` */
  maxRequestBytes: number;
  /** `direct.max.ranges` */
  maxRanges: number;
}

/** Serves gets: many references, each with the ranges that are wanted of its value, to the client's memory or behind the answer. */
export class DirectGets {
  readonly #source: PayloadSource;
  readonly #keys: ReferenceKeys;
  readonly #limits: DirectLimits;
  readonly #memory: MemoryBudget;
  readonly #logger: Logger;
  /** Since the start. */
  readonly counters = { items: 0, bytes: 0, refused: 0 };

  constructor(parts: {
    source: PayloadSource;
    keys: ReferenceKeys;
    limits: DirectLimits;
    memory: MemoryBudget;
    logger: Logger;
  }) {
    this.#memory = parts.memory;
    this.#source = parts.source;
    this.#keys = parts.keys;
    this.#limits = parts.limits;
    this.#logger = parts.logger;
  }

  /**
   * @param attachment whose memory the data goes to; null: none
   * @param room for data that is sent behind the answer, which holds memory meanwhile
   * @throws ApiError when the request as a whole is not acceptable
   */
  async get(
    items: readonly GetItem[],
    principal: string,
    attachment: Attachment | null,
    room: AnswerRoom,
  ): Promise<Got> {
    if (items.length > MAX_ITEMS)
      throw invalid(`${items.length} items in one request, ${MAX_ITEMS} are allowed`);
    const answers: GotItem[] = items.map(() => ({ errorCode: 0, errorMessage: null, length: 0, crc: 0 }));
    const wanted: Wanted[] = [];
    for (const [i, item] of items.entries()) {
      const found = this.#check(i, item, answers[i]!, principal, attachment);
      if (found !== null) wanted.push(found);
    }
    this.#checkLimits(wanted);
    const { data, heldBytes } = await this.#move(wanted, attachment, room);
    for (const { errorCode, length } of answers) {
      if (errorCode !== ErrorCode.NONE) this.counters.refused++;
      else {
        this.counters.items++;
        this.counters.bytes += length;
      }
    }
    return { items: answers, data, heldBytes };
  }

  /** Fills in what is wrong with an item; null then. */
  #check(
    index: number,
    item: GetItem,
    answer: GotItem,
    principal: string,
    attachment: Attachment | null,
  ): Wanted | null {
    try {
      const signed = this.#keys.verify(item.reference, principal);
      const blocks = blocksOf(signed, item.ranges);
      for (const { count, block } of blocks) answer.length += count * block;
      const isHeld = (found: Attachment) =>
        item.region >= 0 && found.holds(item.region, item.targetOffset, answer.length);
      if (attachment !== null && !isHeld(attachment))
        throw invalid('the target is not in memory that was attached');
      return { index, item, signed, blocks, answer };
    } catch (error) {
      refuse(answer, error, this.#logger);
      return null;
    }
  }

  #checkLimits(wanted: readonly Wanted[]): void {
    const { maxRequestBytes, maxRanges } = this.#limits;
    let bytes = 0;
    let ranges = 0;
    for (const { answer, blocks } of wanted) {
      bytes += answer.length;
      for (const { count } of blocks) ranges += count;
    }
    if (bytes > maxRequestBytes)
      throw invalid(
        `${bytes} bytes in one request, ${maxRequestBytes} are allowed (direct.max.request.bytes)`,
      );
    if (ranges > maxRanges)
      throw invalid(`${ranges} ranges in one request, ${maxRanges} are allowed (direct.max.ranges)`);
  }

  /** Nothing waits for memory while it holds some that others wait for. */
  async #move(
    wanted: readonly Wanted[],
    attachment: Attachment | null,
    room: AnswerRoom,
  ): Promise<Pick<Got, 'data' | 'heldBytes'>> {
    const groups = groupsOf(wanted);
    if (attachment === null) return this.#moveInline(groups, room);
    if (attachment instanceof FabricAttachment) await this.#moveByFabric(groups, attachment, room);
    else await this.#moveToAttached(groups, attachment, room);
    return { data: [], heldBytes: 0 };
  }

  /** What is in memory is copied together; each of the other extents is read, or expanded, by itself. */
  async #moveToAttached(
    groups: readonly (readonly Wanted[])[],
    attachment: Attachment,
    room: AnswerRoom,
  ): Promise<void> {
    const ready: (readonly Wanted[])[] = [];
    const found: Access[] = [];
    const others: Promise<void>[] = [];
    const run = async (some: readonly (readonly Wanted[])[], accesses: readonly Access[]) => {
      const bytes = some.reduce((sum, group, i) => sum + memoryFor(group, accesses[i]!), 0);
      try {
        await this.#runWithRoom(bytes, some, accesses, attachment, room);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        for (const { answer } of some.flat()) refuse(answer, error, this.#logger);
      }
    };
    for (const group of groups) {
      const piece = this.#find(group);
      if (piece !== null && expansionBytes(group[0]!.signed) === 0) {
        ready.push(group);
        found.push({ found: piece, plan: null });
      } else {
        const access = piece === null ? this.#plan(group) : { found: piece, plan: null };
        others.push(Promise.resolve(access).then((one) => run([group], [one])));
      }
    }
    if (ready.length > 0) others.push(run(ready, found));
    await Promise.all(others);
  }

  /** What is sent behind the answer stays in memory until it is sent: the extents, or what was gathered from them. */
  async #moveInline(groups: readonly Wanted[][], room: AnswerRoom): Promise<Pick<Got, 'data' | 'heldBytes'>> {
    let heldBytes = 0;
    for (const [{ signed }] of groups as [Wanted][])
      heldBytes += signed.reference.extentLength + expansionBytes(signed);
    const gathered = bytesGathered(groups);
    heldBytes += gathered;
    const wait = room.acquire(heldBytes);
    if (wait !== undefined) await wait;
    try {
      const found = groups.map((group) => this.#find(group));
      const ways = groups.map((group, i) => (found[i] ? { found: found[i], plan: null } : this.#plan(group)));
      const accesses = found.includes(null) ? await Promise.all(ways) : (ways as Access[]);
      let bytes = gathered;
      for (const [i, group] of groups.entries()) bytes += memoryFor(group, accesses[i]!);
      const data = await this.#runWithRoom(bytes, groups, accesses, null, room);
      if (data.length > 0) return { data, heldBytes };
      room.release(heldBytes);
      return { data, heldBytes: 0 };
    } catch (error) {
      room.release(heldBytes);
      throw error;
    }
  }

  /** As inline, but to the client's memory in place of the connection. */
  async #moveByFabric(
    groups: readonly Wanted[][],
    attachment: FabricAttachment,
    room: AnswerRoom,
  ): Promise<void> {
    const { data, heldBytes } = await this.#moveInline(groups, room);
    const served = groups
      .flat()
      .filter(({ answer }) => answer.errorCode === ErrorCode.NONE && answer.length > 0)
      .sort((a, b) => a.index - b.index);
    try {
      if (served.length !== data.length) throw new Error(`${data.length} pieces for ${served.length} items`);
      await attachment.push(
        data.map((piece, i) => ({
          piece,
          region: served[i]!.item.region,
          offset: served[i]!.item.targetOffset,
        })),
      );
    } catch (error) {
      for (const { answer } of served) refuse(answer, error, this.#logger);
    } finally {
      for (const { memory } of data) memory.release();
      room.release(heldBytes);
    }
  }

  /** Takes over the extents that were found. @param bytes that are read, expanded or gathered */
  async #runWithRoom(
    bytes: number,
    groups: readonly (readonly Wanted[])[],
    accesses: readonly Access[],
    attachment: Attachment | null,
    room: AnswerRoom,
  ): Promise<MemoryPiece[]> {
    if (bytes === 0) return this.#run(groups, accesses, attachment);
    try {
      await this.#acquire(bytes, room);
    } catch (error) {
      for (const { found } of accesses) found?.memory.release();
      throw error;
    }
    try {
      return await this.#run(groups, accesses, attachment);
    } finally {
      this.#memory.taken(bytes);
    }
  }

  async #acquire(bytes: number, room: AnswerRoom): Promise<void> {
    const { capacityBytes } = arenaStats();
    if (bytes > capacityBytes / 2)
      throw new ApiError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${bytes} bytes have to be read or expanded for one request, the gateway has memory for half of ${capacityBytes} (arena.bytes)`,
      );
    if (!(await this.#memory.acquireWithin(bytes, ROOM_TIMEOUT_MS, () => room.ended))) throw lackOfMemory();
  }

  /** The extent of a group, if it is in memory; an error is found again when it is read. */
  #find([first]: readonly Wanted[]): MemoryPiece | null {
    try {
      return this.#source.find(first!.signed);
    } catch {
      return null;
    }
  }

  async #plan(group: readonly Wanted[]): Promise<Access> {
    const parts = group.map(({ signed: { reference }, blocks }) => ({
      valueOffset: reference.valueOffset,
      blocks,
    }));
    return { found: null, plan: await this.#source.plan(group[0]!.signed, parts) };
  }

  /** Takes over the extents that were found. */
  async #run(
    groups: readonly (readonly Wanted[])[],
    accesses: readonly Access[],
    attachment: Attachment | null,
  ): Promise<MemoryPiece[]> {
    const plan = new MovePlan(attachment);
    const opened = await Promise.allSettled(groups.map(([first], i) => open(accesses[i]!, first!.signed)));
    try {
      for (const [i, group] of groups.entries()) {
        const extent = opened[i]!;
        for (const one of group) {
          try {
            if (extent.status === 'rejected') throw extent.reason;
            plan.add(one, extent.value);
          } catch (error) {
            refuse(one.answer, error, this.#logger);
          }
        }
      }
      return await plan.run();
    } finally {
      for (const extent of opened) if (extent.status === 'fulfilled') extent.value.release();
    }
  }
}

/** The extent of some items: in memory as it was appended, or how it is read. */
type Access =
  | { readonly found: MemoryPiece; readonly plan: null }
  | { readonly found: null; readonly plan: ReadPlan };

/** Takes over what was found. Compressed extents are read as a whole. */
async function open({ found, plan }: Access, signed: SignedReference): Promise<ExtentParts> {
  if (expansionBytes(signed) === 0) return found === null ? plan.read() : ExtentParts.whole(found);
  const parts = found === null ? await plan.read() : ExtentParts.whole(found);
  return ExtentParts.whole(await uncompressed(parts.takeWhole(), signed));
}

/** What has to be allocated to serve the items of one extent from it. */
function memoryFor([first]: readonly Wanted[], { plan }: Access): number {
  return (plan?.bytes ?? 0) + expansionBytes(first!.signed);
}

/** What is copied together because it does not lie together. */
function bytesGathered(groups: readonly (readonly Wanted[])[]): number {
  let bytes = 0;
  for (const group of groups)
    for (const { blocks, answer } of group) if (!isContiguous(blocks)) bytes += answer.length;
  return bytes;
}

/** By extent. */
function groupsOf(wanted: readonly Wanted[]): Wanted[][] {
  const groups = new Map<string, Wanted[]>();
  let group: Wanted[] = [];
  for (const one of wanted) {
    // A claim is of one extent.
    if (group[0]?.signed.claim !== one.signed.claim) {
      const key = extentKey(one.signed);
      group = groups.get(key) ?? [];
      groups.set(key, group);
    }
    group.push(one);
  }
  return [...groups.values()];
}

function extentKey({ claim, reference }: SignedReference): string {
  return `${claim.topicId}/${claim.partition}/${reference.segmentId}/${reference.extentPosition}`;
}

/** @throws ApiError when a range is not inside the value */
function blocksOf({ reference }: SignedReference, ranges: readonly Blocks[]): readonly Blocks[] {
  const { valueLength } = reference;
  if (ranges.length === 0) return [{ offset: 0, count: 1, block: valueLength, stride: valueLength }];
  for (const { offset, count, block, stride } of ranges) {
    const last = offset + (count - 1) * stride + block;
    if (offset < 0 || count < 1 || block < 0 || stride < block || last > valueLength)
      throw invalid(
        `${count} blocks of ${block} bytes from ${offset} on, every ${stride}, are not inside a value of ${valueLength}`,
      );
  }
  return ranges;
}

function invalid(message: string): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, message);
}

function refuse(answer: GotItem, error: unknown, logger: Logger): void {
  Object.assign(answer, { length: 0, crc: 0 }, refusalOf(error, logger));
}

/** What a client is told of an item that it cannot have. */
export function refusalOf(error: unknown, logger: Logger): Pick<GotItem, 'errorCode' | 'errorMessage'> {
  if (error instanceof ReferenceRefused) {
    const expired = error.reason === 'expired';
    const errorCode = expired ? ErrorCode.DELEGATION_TOKEN_EXPIRED : ErrorCode.TOPIC_AUTHORIZATION_FAILED;
    return { errorCode, errorMessage: error.message };
  }
  if (error instanceof ApiError) return { errorCode: error.code, errorMessage: error.message };
  logger.error({ err: error }, 'A payload could not be read for a direct client');
  return {
    errorCode: ErrorCode.UNKNOWN_SERVER_ERROR,
    errorMessage: 'The payload could not be read; the log of the gateway says why',
  };
}
