import type { MoveTarget } from '../../ports.ts';

/** Moves of a complete file from tier to tier: one at a time, and they make way for whoever changes the file. */
export class FileMoves {
  #running: Promise<unknown> = Promise.resolve();
  #changes = 0;

  /** Nobody changes the file, or waits to. */
  get areWanted(): boolean {
    return this.#changes === 0;
  }

  /** The file stays where it is until `action` has ended. A move under way ends before: without effect, unless it is as good as done. */
  async stay<T>(action: () => Promise<T>): Promise<T> {
    this.#changes++;
    try {
      await this.#running;
      return await action();
    } finally {
      this.#changes--;
    }
  }

  /** `arrived`: reads go to the new place from then on. Resolves to whether the file has moved. */
  run(from: string, target: MoveTarget, arrived: () => Promise<void>): Promise<boolean> {
    const move = async () => {
      const copied = await target.copy(from, () => this.areWanted);
      if (!copied || !this.areWanted) return false;
      await target.publish(from);
      await arrived();
      return true;
    };
    const moved = move();
    this.#running = moved.catch(() => undefined);
    return moved;
  }
}
