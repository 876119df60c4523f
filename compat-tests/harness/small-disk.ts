import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './child.ts';

/** A file system of a few gigabytes at most, which can be filled. Mounting one needs root: `isPossible`. */
export class SmallDisk {
  static readonly isPossible = process.getuid?.() === 0;
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async mount(directory: string, megabytes: number): Promise<SmallDisk> {
    mkdirSync(directory, { recursive: true });
    await runCommand(['mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory]);
    return new SmallDisk(directory);
  }

  get #filler(): string {
    return join(this.directory, 'filler');
  }

  /** Leaves so many bytes. */
  fill(leftBytes: number): void {
    const { bavail, bsize } = statfsSync(this.directory);
    writeFileSync(this.#filler, Buffer.alloc(Math.max(0, bavail * bsize - leftBytes)));
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  async unmount(): Promise<void> {
    await runCommand(['umount', '-l', this.directory]);
  }
}
