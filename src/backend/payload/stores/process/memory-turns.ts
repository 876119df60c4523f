import type { NativeMemory } from '../../../../native/arena.ts';
import type { PendingPiece } from './pending-append.ts';

/** Memory goes to the first piece of a file that lacks it: one behind it could not be written before. */
export class MemoryTurns {
  /** The last that waits, while any does. */
  #lacking: Promise<void> | null = null;

  /** Gives a piece its memory, or the reason why it gets none. */
  begin(piece: PendingPiece): void {
    try {
      const memory = this.#lacking === null ? piece.allocate() : this.#lacking.then(() => piece.allocate());
      if (memory instanceof Promise) this.#waitFor(memory, piece);
      else piece.fill(memory);
    } catch (error) {
      piece.reject(error as Error);
    }
  }

  #waitFor(memory: Promise<NativeMemory>, piece: PendingPiece): void {
    const lacking = memory.then(
      (block) => piece.fill(block),
      (error: Error) => piece.reject(error),
    );
    this.#lacking = lacking;
    void lacking.then(() => {
      if (this.#lacking === lacking) this.#lacking = null;
    });
  }
}
