import { binding } from './addon.ts';
import { completion } from './completions.ts';
import type { LocalRange } from './fabric.ts';

interface BareLoopBinding {
  bareLoopOpen(transport: number, id: number): void;
  bareLoopConnect(loop: number, id: number, answer: Uint8Array): void;
  bareLoopRun(
    loop: number,
    id: number,
    write: boolean,
    handle: number,
    offset: number,
    range: BigUint64Array,
    pieceBytes: number,
    window: number,
    ms: number,
  ): void;
  bareLoopClose(loop: number, id: number): void;
}

const native = binding<BareLoopBinding>();

export interface BareLoad {
  /** Into the target's memory. */
  readonly write: boolean;
  readonly pieceBytes: number;
  /** Pieces under way; 64 at most. */
  readonly window: number;
  /** For how long pieces are begun, two seconds at most, and at least until all of the range was moved once. */
  readonly ms: number;
}

export interface BareResult {
  readonly bytes: number;
  readonly ms: number;
  /** Half of the pieces took less, from when they were posted. */
  readonly medianMs: number;
}

/** Pieces that move in a loop that does nothing else: what the way to a target is capable of, to judge transfers by. */
export class BareLoop {
  /** For the target's transport to answer. */
  readonly offer: Buffer;
  readonly #loop: number;

  private constructor(loop: number, offer: Buffer) {
    this.#loop = loop;
    this.offer = offer;
  }

  /** `transport`: of an initiator, by its number. */
  static async open(transport: number): Promise<BareLoop> {
    const [loop, offer] = await completion<[number, Buffer]>((id) => native.bareLoopOpen(transport, id));
    return new BareLoop(loop, offer);
  }

  async connect(answer: Uint8Array): Promise<void> {
    await completion((id) => native.bareLoopConnect(this.#loop, id, answer));
  }

  /**
   * Moves a range again and again, on a thread that does nothing else; one run at a time. Rejects with ETIMEDOUT when nothing comes of the target for
   * two seconds; the loop is of no use then.
   */
  async run(range: BigUint64Array, { memory, offset }: LocalRange, load: BareLoad): Promise<BareResult> {
    const { write, pieceBytes, window, ms: time } = load;
    const { handle, blockOffset } = memory;
    const [bytes, ms, medianMs] = await completion<[number, number, number]>((id) =>
      native.bareLoopRun(
        this.#loop,
        id,
        write,
        handle,
        blockOffset + offset,
        range,
        pieceBytes,
        window,
        time,
      ),
    );
    return { bytes, ms, medianMs };
  }

  async close(): Promise<void> {
    await completion((id) => native.bareLoopClose(this.#loop, id));
  }
}
