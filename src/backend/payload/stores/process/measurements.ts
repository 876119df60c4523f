import type { NativeMemory } from '../../../../native/arena.ts';
import type { BareLoop } from '../../../../native/bare-loop.ts';
import type { TransportOptions } from '../../../../native/fabric.ts';
import type { AttachedTarget } from '../../../../native/fabric-attach.ts';
import type { Clock, Timer } from '../../../../util/clock.ts';
import { type Measured, StoreError } from '../messages.ts';
import type { ArenaQueue } from './arena-queue.ts';

/** How long the gateway may take to answer. */
const ANSWER_MS = 10_000;
/** By turns the engine and the loop; the best counts, for others may be busy meanwhile. */
const ROUNDS = 3;
const ROUND_MS = 60;
const LATENCY_MS = 40;
const LATENCY_BYTES = 4096;
/** Of one transfer. */
const TRANSFER_MS = 5000;
/** Requests of the engine under way. */
const UNDER_WAY = 2;
/** What a loop takes. */
const MAX_WINDOW = 64;

interface Begun {
  readonly target: AttachedTarget;
  readonly loop: BareLoop;
  readonly timer: Timer;
}

/** What moves a range between the gateway's memory and ours. */
interface Mover {
  readonly target: AttachedTarget;
  readonly loop: BareLoop;
  readonly range: BigUint64Array;
  readonly memory: NativeMemory;
  readonly write: boolean;
}

/** Measures for gateways what moves between them and this store, beside what could; one at a time. No file is touched. */
export class Measurements {
  readonly #memory: ArenaQueue;
  readonly #clock: Clock;
  readonly #options: Pick<TransportOptions, 'pieceBytes' | 'window'>;
  #isBusy = false;
  #begun: Begun | null = null;

  /** `options`: of the engine; the loop moves pieces as it does. */
  constructor(memory: ArenaQueue, clock: Clock, options: Pick<TransportOptions, 'pieceBytes' | 'window'>) {
    this.#memory = memory;
    this.#clock = clock;
    this.#options = options;
  }

  /** What the gateway has to answer, soon, in base64. Rejects with EBUSY while another measurement is under way. */
  async begin(target: AttachedTarget): Promise<string> {
    if (this.#isBusy) throw new StoreError('EBUSY', 'another measurement is under way at the store');
    this.#isBusy = true;
    try {
      const loop = await target.transport.bareLoop();
      const timer = this.#clock.setTimer(ANSWER_MS, () => void this.close());
      this.#begun = { target, loop, timer };
      return loop.offer.toString('base64');
    } catch (error) {
      this.#isBusy = false;
      throw error;
    }
  }

  /** `range`: of the gateway's memory, its address, length and key. */
  async measure(
    target: AttachedTarget,
    range: BigUint64Array,
    { answer, write }: { readonly answer: string; readonly write: boolean },
  ): Promise<Measured> {
    const begun = this.#begun;
    if (begun === null || begun.target !== target)
      throw new StoreError('EINVAL', 'the measurement was not begun, or the answer came too late');
    this.#begun = null;
    begun.timer.cancel();
    const { loop } = begun;
    const bytes = Number(range[1]);
    try {
      const memory = await this.#memory.allocate(bytes, this.#clock.now() + TRANSFER_MS);
      try {
        // What others had there is nothing for this gateway.
        if (write) memory.bytes().fill(0);
        await loop.connect(Buffer.from(answer, 'base64'));
        return await this.#compare({ target, loop, range, memory, write });
      } finally {
        memory.release();
        this.#memory.freed(bytes);
      }
    } finally {
      await loop.close();
      this.#isBusy = false;
    }
  }

  async #compare(mover: Mover): Promise<Measured> {
    const { loop, range, memory, write } = mover;
    const local = { memory, offset: 0 };
    const window = Math.min(this.#options.window, MAX_WINDOW);
    const pieceBytes = Math.min(this.#options.pieceBytes, memory.byteLength);
    let bytesPerSecond = 0;
    let limitBytesPerSecond = 0;
    for (let round = 0; round < ROUNDS; round++) {
      bytesPerSecond = Math.max(bytesPerSecond, await bandwidth(mover));
      const bare = await loop.run(range, local, { write, pieceBytes, window, ms: ROUND_MS });
      limitBytesPerSecond = Math.max(limitBytesPerSecond, (bare.bytes * 1000) / bare.ms);
    }
    const medianMs = await latency(mover);
    const small = Math.min(LATENCY_BYTES, memory.byteLength);
    const part = BigUint64Array.of(range[0]!, BigInt(small), range[2]!);
    const bare = await loop.run(part, local, { write, pieceBytes: small, window: 1, ms: LATENCY_MS });
    return { bytesPerSecond, limitBytesPerSecond, medianMs, limitMedianMs: bare.medianMs };
  }

  /** What was begun and not answered is given up. */
  async close(): Promise<void> {
    const begun = this.#begun;
    if (begun === null) return;
    this.#begun = null;
    begun.timer.cancel();
    await begun.loop.close();
    this.#isBusy = false;
  }
}

/** The first bytes of the range, by the engine. */
async function transfer({ target, range, memory, write }: Mover, bytes: number): Promise<void> {
  const { transport, peer } = target;
  const part = BigUint64Array.of(range[0]!, BigInt(bytes), range[2]!);
  const local = [{ memory, offset: 0 }];
  const moved = write
    ? transport.write(peer, part, local, TRANSFER_MS)
    : transport.read(peer, part, local, TRANSFER_MS);
  await moved.done;
}

/** Bytes per second. */
async function bandwidth(mover: Mover): Promise<number> {
  const { byteLength } = mover.memory;
  const began = performance.now();
  const elapsed = () => performance.now() - began;
  let bytes = 0;
  const one = async () => {
    while (elapsed() < ROUND_MS) {
      await transfer(mover, byteLength);
      bytes += byteLength;
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, one));
  return (bytes * 1000) / elapsed();
}

/** Milliseconds, the median of transfers one after the other. */
async function latency(mover: Mover): Promise<number> {
  const times: number[] = [];
  const bytes = Math.min(LATENCY_BYTES, mover.memory.byteLength);
  for (const began = performance.now(); performance.now() - began < LATENCY_MS; ) {
    const start = performance.now();
    await transfer(mover, bytes);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}
