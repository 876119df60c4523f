import { execFileSync } from 'node:child_process';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { suites } from './paths.ts';

/** Has calls fail for the files of a directory, in a process that is started with `environment`. */
export class FailingDisk {
  readonly environment: Record<string, string>;
  readonly #rule: string;

  /** Compiled into `dir`; the compiler is the one that native code needs. */
  constructor(dir: string) {
    const library = join(dir, 'failing-disk.so');
    const source = join(suites, 'harness/failing-disk.cc');
    execFileSync(process.env.CXX ?? 'c++', ['-std=c++17', '-shared', '-fPIC', '-O1', '-o', library, source]);
    this.#rule = join(dir, 'failing-disk');
    this.environment = { LD_PRELOAD: library, FAILING_DISK: this.#rule };
  }

  /** From now on, until `heal`. */
  fail(call: 'fdatasync' | 'pwritev', code: 'EIO' | 'ENOSPC', directory: string): void {
    writeFileSync(`${this.#rule}.new`, `${call} ${constants.errno[code]} ${directory}\n`);
    renameSync(`${this.#rule}.new`, this.#rule);
  }

  heal(): void {
    rmSync(this.#rule, { force: true });
  }
}
