import type { Blocks } from '../../native/direct.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { Logger } from '../../util/logger.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import type { Attachment } from './attachments.ts';
import { type Access, ExtentAccess, type Group, openExtent } from './extent-access.ts';
import type { ExtentParts } from './extent-parts.ts';
import { FabricAttachment } from './fabric-attachment.ts';
import { isContiguous, MovePlan, type Wanted } from './move-plan.ts';
import { expansionBytes, type PayloadSource } from './payload-source.ts';
import { type ReferenceKeys, ReferenceRefused } from './reference-keys.ts';
import { ReferencesOfRequest } from './references-of-request.ts';
import { TurnsOf } from './turns.ts';

/** Each is a signature to check, which holds up everybody else. */
const MAX_ITEMS = 4096;

export interface GetItem {
  /** See ReferencesOfRequest. */
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
  readonly #extents: ExtentAccess;
  readonly #keys: ReferenceKeys;
  readonly #limits: DirectLimits;
  /** In which connections take memory for their answers. */
  readonly #turns = new TurnsOf();
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
    this.#extents = new ExtentAccess(parts.source, parts.memory);
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
    const references = new ReferencesOfRequest(this.#keys, principal);
    for (const [i, item] of items.entries()) {
      const found = this.#check(i, item, answers[i]!, references, attachment);
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

  /** So many values, or extents of them, went along with what was fetched. */
  countFetched(items: number, bytes: number): void {
    this.counters.items += items;
    this.counters.bytes += bytes;
  }

  /** Fills in what is wrong with an item; null then. */
  #check(
    index: number,
    item: GetItem,
    answer: GotItem,
    references: ReferencesOfRequest,
    attachment: Attachment | null,
  ): Wanted | null {
    try {
      const signed = references.next(item.reference);
      const blocks = blocksOf(signed, item.ranges);
      for (const { count, block } of blocks) answer.length += count * block;
      const { region, targetOffset } = item;
      const isHeld =
        attachment === null || (region >= 0 && attachment.holds(region, targetOffset, answer.length));
      if (!isHeld) throw invalid('the target is not in memory that was attached');
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
      throw tooMuch(
        `${bytes} bytes in one request, ${maxRequestBytes} are allowed (direct.max.request.bytes)`,
      );
    if (ranges > maxRanges)
      throw tooMuch(`${ranges} ranges in one request, ${maxRanges} are allowed (direct.max.ranges)`);
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
  async #moveToAttached(groups: readonly Group[], attachment: Attachment, room: AnswerRoom): Promise<void> {
    const ready: Group[] = [];
    const found: ExtentParts[] = [];
    const others: Promise<void>[] = [];
    for (const group of groups) {
      const parts = expansionBytes(group[0]!.signed) === 0 ? this.#extents.findParts(group) : null;
      if (parts === null) {
        others.push(this.#orRefused([group], () => this.#moveOne(group, attachment, room)));
      } else {
        ready.push(group);
        found.push(parts);
      }
    }
    if (ready.length > 0) others.push(this.#orRefused(ready, () => this.#copy(ready, found, attachment)));
    await Promise.all(others);
  }

  async #moveOne(group: Group, attachment: Attachment, room: AnswerRoom): Promise<void> {
    const { accesses, done } = await this.#extents.acquire([group], 0, () => room.ended);
    await this.#run([group], accesses, attachment).finally(done);
  }

  /** What fails is refused by itself. */
  async #orRefused(groups: readonly Group[], work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      for (const { answer } of groups.flat()) refuse(answer, error, this.#logger);
    }
  }

  /** What is sent behind the answer stays in memory until it is sent: the extents, or what was gathered from them. */
  async #moveInline(groups: readonly Group[], room: AnswerRoom): Promise<Pick<Got, 'data' | 'heldBytes'>> {
    const gathered = bytesGathered(groups);
    let heldBytes = gathered;
    for (const [first] of groups)
      heldBytes += first!.signed.reference.extentLength + expansionBytes(first!.signed);
    const wait = room.acquire(heldBytes);
    if (wait !== undefined) await wait;
    try {
      const { accesses, done } = await this.#turns
        .of(room)
        .take(() => this.#extents.acquire(groups, gathered, () => room.ended));
      const data = await this.#run(groups, accesses, null).finally(done);
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
    groups: readonly Group[],
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

  /** Takes over the extents that were found. */
  async #run(
    groups: readonly Group[],
    accesses: readonly Access[],
    attachment: Attachment | null,
  ): Promise<MemoryPiece[]> {
    const opened = await Promise.allSettled(
      groups.map(([first], i) => openExtent(accesses[i]!, first!.signed)),
    );
    const extents = opened.map((one, i) => {
      if (one.status === 'fulfilled') return one.value;
      for (const { answer } of groups[i]!) refuse(answer, one.reason, this.#logger);
      return null;
    });
    return this.#copy(groups, extents, attachment);
  }

  /** Takes over the extents; null: its group was refused. */
  async #copy(
    groups: readonly Group[],
    extents: readonly (ExtentParts | null)[],
    attachment: Attachment | null,
  ): Promise<MemoryPiece[]> {
    const plan = new MovePlan(attachment);
    try {
      for (const [i, group] of groups.entries()) {
        const extent = extents[i];
        if (extent) for (const one of group) this.#add(plan, one, extent);
      }
      return await plan.run();
    } finally {
      for (const extent of extents) extent?.release();
    }
  }

  #add(plan: MovePlan, one: Wanted, extent: ExtentParts): void {
    try {
      plan.add(one, extent);
    } catch (error) {
      refuse(one.answer, error, this.#logger);
    }
  }
}

/** What is copied together because it does not lie together. */
function bytesGathered(groups: readonly Group[]): number {
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

/** Less of it can be had. */
function tooMuch(message: string): ApiError {
  return new ApiError(ErrorCode.MESSAGE_TOO_LARGE, message);
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
