import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FileValues, type ValueStorage } from '../stores/value-log.ts';

/**
 * A directory of one instance below the one that the application gives, which instances may share. State on disk is worth nothing after a
 * restart, since changelogs say what counts; what instances have left that were killed is removed.
 */
export class StateDirectory {
  readonly #path: string;
  #files = 0;

  constructor(parent: string, applicationId: string) {
    mkdirSync(parent, { recursive: true });
    const prefix = `${applicationId}.`;
    for (const name of readdirSync(parent)) {
      const pid = name.startsWith(prefix) ? /^(\d+)\./.exec(name.slice(prefix.length))?.[1] : undefined;
      if (pid !== undefined && !isRunning(Number(pid)))
        rmSync(join(parent, name), { recursive: true, force: true });
    }
    this.#path = mkdtempSync(join(parent, `${prefix}${process.pid}.`));
  }

  open(task: string, store: string): ValueStorage {
    return new FileValues(join(this.#path, `${task}-${store}-${this.#files++}`));
  }

  remove(): void {
    rmSync(this.#path, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
