import { crc32c, crc32cJoin } from '../native/batch.ts';
import { ErrorCode } from '../protocol/errors.ts';
import { type DirectGetItem, directGetRequest } from '../protocol/generated/direct-get-request.ts';
import { type DirectGetResponse, directGetResponse } from '../protocol/generated/direct-get-response.ts';
import { monotonicMs } from '../util/clock.ts';
import type { Cluster, DataChannel } from './cluster.ts';
import { asDirectError, brokerError, DirectError } from './errors.ts';
import { type Awaiting, GetLine, MAX_IN_FLIGHT, Wanted } from './get-line.ts';
import type { View } from './mapped-memory.ts';
import { partsOf, type RangePart } from './range-parts.ts';
import { type Referenced, referencesOf } from './references.ts';
import type { Range } from './selection.ts';
import { RegionRefused, type RegisteredBuffer, type SharedPool, UNREACHABLE } from './shared-memory.ts';

/** Of data that arrives damaged, or references that are refused; a gateway that is away is waited for as long as for an answer. */
const MAX_ATTEMPTS = 5;
const RETRY_MS = 100;
/** A gateway whose answer was lost may still write where it was asked to. */
const QUARANTINE_MS = 30_000;

/** What is too much for one request, or for the gateway to have in memory, is asked for in parts of so much of the data. */
const PART_BYTES = 4 << 20;
const PART_RANGES = 4096;

interface RequestLimits {
  readonly bytes: number;
  readonly ranges: number;
}

/** Whoever asked waits for it. */
const WANTED = { isWanted: true };

const NO_LIMITS: RequestLimits = { bytes: Number.POSITIVE_INFINITY, ranges: Number.POSITIVE_INFINITY };

/**
 * Gets data for references: many in one request, several requests at a time. Data goes to its target without a copy over TCP and for targets
 * in registered memory, and is checked there. What fails half-way is asked for again as a whole.
 */
export class Getter {
  readonly #cluster: Cluster;
  readonly #pool: SharedPool;
  readonly #lines = new Map<number, GetLine>();
  #mayComeInline = false;

  constructor(cluster: Cluster, pool: SharedPool) {
    this.#cluster = cluster;
    this.#pool = pool;
  }

  /** Data was got, and nobody loses by its coming over the connection: it is not read by RDMA, nor looked at where it lies. */
  get mayComeInline(): boolean {
    return this.#mayComeInline;
  }

  /** Resolves when the target, as many bytes as the ranges select and at least one, holds what was wanted. */
  async get(value: Referenced, ranges: readonly Required<Range>[], target: Uint8Array): Promise<void> {
    await this.#get(value, ranges, target);
  }

  /** @param whole whose part this is */
  #get(
    value: Referenced,
    ranges: readonly Required<Range>[],
    target: Uint8Array,
    whole: Pick<Awaiting, 'isWanted'> = WANTED,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.fill(value, ranges, target, {
        get isWanted() {
          return whole.isWanted;
        },
        arrived: (crc) => resolve(crc!),
        failed: reject,
      });
    });
  }

  /** As `get`, without a promise. */
  fill(value: Referenced, ranges: readonly Required<Range>[], target: Uint8Array, awaiting: Awaiting): void {
    this.#add(new Wanted(value, ranges, target, awaiting));
  }

  /** Has no data asked for that nobody waits for any more: they are told so. */
  forgetUnwanted(): void {
    for (const line of this.#lines.values()) for (const item of line.takeUnwanted()) this.#forget(item);
  }

  #forget({ value, awaiting }: Wanted): void {
    awaiting.failed(new DirectError('ABORTED', 'it is not wanted any more', { doing: value.doing }));
  }

  #add(item: Wanted): void {
    if (!item.awaiting.isWanted) {
      this.#forget(item);
      return;
    }
    const { node } = item.value;
    const line = this.#lineTo(node);
    line.push(item);
    // What is wanted in one go is asked for together.
    if (line.items.length === 1) queueMicrotask(() => this.#pump(node, line));
  }

  /**
   * A part of a value where it lies in the gateway's memory, checked. Null when that is not mapped here, or the value is compressed: it has to
   * be got.
   */
  async view(value: Referenced, range: Required<Range>): Promise<View | null> {
    const { attachment } = await this.#cluster.channel(value.node, 'get');
    const channel = attachment.mapped;
    if (channel === null) return null;
    const { doing } = value;
    for (let attempt = 1; ; attempt++) {
      try {
        const view = await channel.view(value.reference, range.offset, range.length, doing);
        if (crc32c(view.bytes) === (producedCrc(value, [range]) ?? view.crc)) return view;
        view.release();
        throw damaged(doing);
      } catch (error) {
        if (!(error instanceof DirectError)) throw error;
        if (error.broker === 'INVALID_REQUEST') return null;
        const again = error.code === 'CHECKSUM' || error.code === 'EXPIRED';
        if (!again || attempt >= MAX_ATTEMPTS) throw error;
        if (error.code === 'EXPIRED') await value.renew();
      }
    }
  }

  #lineTo(node: number): GetLine {
    let line = this.#lines.get(node);
    if (line === undefined) {
      line = new GetLine();
      this.#lines.set(node, line);
    }
    return line;
  }

  #pump(node: number, line: GetLine): void {
    while (line.items.length > 0 && line.inFlight < MAX_IN_FLIGHT) {
      const items = line.next();
      line.inFlight++;
      void this.#request(node, items).finally(() => {
        line.inFlight--;
        this.#pump(node, line);
      });
    }
  }

  async #request(node: number, items: Wanted[]): Promise<void> {
    const deadline = monotonicMs() + this.#cluster.options.requestTimeoutMs;
    for (const item of items) item.deadline ||= deadline;
    try {
      const channel = await this.#cluster.channel(node, 'get');
      this.#mayComeInline = channel.attachment.path !== 'fabric' && channel.attachment.mapped === null;
      if (isTooMuch(items, channel.attachment.limits)) {
        this.#getLess(items, channel.attachment.limits);
        return;
      }
      const answer = await this.#ask(channel, items);
      // This memory cannot be reached any more: the next attempt attaches anew.
      if (answer.items.some(({ errorCode }) => errorCode === ErrorCode.NETWORK_EXCEPTION))
        channel.connection.abandon(UNREACHABLE);
      if (answer.errorCode === ErrorCode.MESSAGE_TOO_LARGE && items.length > 1) {
        this.#getLess(items, channel.attachment.limits);
        return;
      }
      if (answer.errorCode !== 0)
        throw brokerError(answer.errorCode, answer.errorMessage, items[0]!.value.doing);
      for (const [i, item] of items.entries()) this.#finish(item, answer.items[i]);
    } catch (error) {
      const failure = asDirectError(error, items[0]!.value.doing);
      for (const item of items) this.#failed(item, failure);
    }
  }

  /** Over the connection where there is no shared memory, or no room in it. */
  #ask(channel: DataChannel, items: readonly Wanted[]): Promise<DirectGetResponse> {
    if (channel.attachment.path === 'tcp') return this.#inline(channel, items);
    return this.#toShared(channel, items).catch((error: unknown) => {
      if (error instanceof RegionRefused) return this.#inline(channel, items);
      throw error;
    });
  }

  #inline({ connection }: DataChannel, items: readonly Wanted[]): Promise<DirectGetResponse> {
    const references = referencesOf(items, connection.versionOf(directGetRequest));
    const wire = items.map((item, i) => itemOf(item, references[i]!, -1, 0));
    const request = { attachmentId: 0n, items: wire };
    return connection.call(directGetRequest, directGetResponse, request, {
      doing: items[0]!.value.doing,
      land: (answer) => items.filter((_, i) => answer.items[i]?.errorCode === 0).map(placeOf),
    });
  }

  async #toShared(
    { connection, attachment }: DataChannel,
    items: readonly Wanted[],
  ): Promise<DirectGetResponse> {
    const staged = new Map<Wanted, RegisteredBuffer>();
    let isAsked = false;
    try {
      const references = referencesOf(items, connection.versionOf(directGetRequest));
      const wire: DirectGetItem[] = [];
      for (const [i, item] of items.entries()) {
        let place = this.#pool.locate(item.target);
        if (place === null) {
          const room = await this.#pool.allocate(item.bytes);
          // It comes over the connection then, as what is pushed goes.
          if (room === null) throw new RegionRefused('BUFFER_FULL', 'no room', { doing: item.value.doing });
          staged.set(item, room);
          place = this.#pool.locate(room.bytes)!;
        }
        const region = attachment.regionOf(place.chunk);
        const number = typeof region === 'number' ? region : await region;
        wire.push(itemOf(item, references[i]!, number, place.offset));
      }
      const request = { attachmentId: attachment.id, items: wire };
      const doing = items[0]!.value.doing;
      isAsked = true;
      const answer = await connection.call(directGetRequest, directGetResponse, request, { doing });
      for (const [item, room] of staged) if (!item.isGone) item.target.set(room.bytes);
      for (const room of staged.values()) room.release();
      return answer;
    } catch (error) {
      const release = () => {
        for (const room of staged.values()) room.release();
      };
      // What nobody was asked to write to is free at once: it may be all that others wait for.
      if (isAsked) setTimeout(release, QUARANTINE_MS).unref();
      else release();
      throw error;
    }
  }

  #finish(item: Wanted, answer: DirectGetResponse['items'][number] | undefined): void {
    if (answer === undefined) {
      this.#failed(
        item,
        new DirectError('BROKER', 'an answer without the item', { doing: item.value.doing }),
      );
    } else if (answer.errorCode === ErrorCode.DELEGATION_TOKEN_EXPIRED) {
      void this.#renew(item);
    } else if (answer.errorCode !== 0) {
      this.#failed(item, brokerError(answer.errorCode, answer.errorMessage, item.value.doing));
    } else {
      const { value, ranges, target, bytes } = item;
      const crc = producedCrc(value, ranges) ?? answer.crc;
      const isWhole = answer.length === bytes && crc32c(target) === crc;
      if (isWhole) item.awaiting.arrived(crc);
      else this.#failed(item, damaged(value.doing));
    }
  }

  async #renew(item: Wanted): Promise<void> {
    try {
      if (!(await item.value.renew()))
        throw new DirectError('EXPIRED', 'the reference has expired, and its record is gone', {
          doing: item.value.doing,
        });
      this.#again(item, brokerError(ErrorCode.DELEGATION_TOKEN_EXPIRED, null, item.value.doing));
    } catch (error) {
      // The gateway that is asked may be away, as at any other time.
      this.#failed(item, asDirectError(error, item.value.doing));
    }
  }

  /** What is too much together is asked for one by one, what is too much by itself in parts. */
  #getLess(items: readonly Wanted[], limits: RequestLimits): void {
    for (const item of items) {
      if (items.length === 1) {
        void this.#getInParts(item, partsWithin(item, limits));
      } else {
        item.isAlone = true;
        this.#add(item);
      }
    }
  }

  async #getInParts({ value, ranges, target, awaiting }: Wanted, parts: readonly RangePart[]): Promise<void> {
    const whole = {
      failure: null as Error | null,
      get isWanted() {
        return this.failure === null && awaiting.isWanted;
      },
    };
    const got = parts.map(async ({ ranges: some, from, bytes }) => {
      try {
        return await this.#get(value, some, target.subarray(from, from + bytes), whole);
      } catch (error) {
        if (whole.failure !== null) return 0;
        whole.failure = error as Error;
        this.forgetUnwanted();
        return 0;
      }
    });
    // Nothing lands in the target any more when it is told that some of it cannot be had.
    const crcs = await Promise.all(got);
    if (whole.failure !== null) {
      awaiting.failed(whole.failure);
      return;
    }
    // The parts were checked as the gateway has sent them: what they are together is known without reading them again.
    const crc = crcs.reduce((all, one, i) => crc32cJoin(all, one, parts[i]!.bytes), 0);
    if (crc === (producedCrc(value, ranges) ?? crc)) awaiting.arrived(crc);
    else awaiting.failed(damaged(value.doing));
  }

  #failed(item: Wanted, error: DirectError): void {
    if (item.isGone) {
      item.awaiting.failed(gone(item.value.doing));
      return;
    }
    const parts = error.broker === 'MESSAGE_TOO_LARGE' ? partsWithin(item) : [];
    if (parts.length > 1) void this.#getInParts(item, parts);
    else if (error.retriable) setTimeout(() => this.#again(item, error), RETRY_MS);
    else item.awaiting.failed(error);
  }

  #again(item: Wanted, error: DirectError): void {
    if (!item.awaiting.isWanted) {
      this.#forget(item);
      return;
    }
    const counts = error.code === 'CHECKSUM' || error.code === 'EXPIRED';
    if (counts ? ++item.attempts >= MAX_ATTEMPTS : monotonicMs() >= item.deadline) {
      item.awaiting.failed(error);
      return;
    }
    const { node } = item.value;
    const line = this.#lineTo(node);
    line.push(item);
    this.#pump(node, line);
  }
}

function itemOf(
  { ranges }: Wanted,
  reference: Uint8Array,
  region: number,
  targetOffset: number,
): DirectGetItem {
  return {
    reference,
    ranges: ranges.map(({ offset, length: block, count, stride }) => ({ offset, count, block, stride })),
    region,
    targetOffset: BigInt(targetOffset),
  };
}

function isTooMuch(items: readonly Wanted[], limits: RequestLimits): boolean {
  let bytes = 0;
  let blocks = 0;
  for (const { bytes: some, ranges } of items) {
    bytes += some;
    for (const { count } of ranges) blocks += count;
  }
  return bytes > limits.bytes || blocks > limits.ranges;
}

function partsWithin({ ranges }: Wanted, limits: RequestLimits = NO_LIMITS): RangePart[] {
  return partsOf(ranges, Math.min(PART_BYTES, limits.bytes), Math.min(PART_RANGES, limits.ranges));
}

/** Where an item's data is received: what has no place any more is received all the same, since others follow. */
function placeOf({ target, bytes, isGone }: Wanted): Uint8Array {
  return isGone ? Buffer.allocUnsafe(bytes) : target;
}

function gone(doing: string): DirectError {
  return new DirectError('INVALID_ARGUMENT', 'its target was transferred before the data came', { doing });
}

function damaged(doing: string): DirectError {
  return new DirectError('CHECKSUM', 'the data arrived damaged', { doing, retriable: true });
}

/** The checksum of a whole value, which was made when it was produced; null for parts, which the gateway sums up. */
function producedCrc(value: Referenced, ranges: readonly Required<Range>[]): number | null {
  const [only] = ranges;
  const all = ranges.length === 1 && only!.offset === 0 && only!.count === 1 && only!.length === value.size;
  return all ? value.crc : null;
}
