import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FileValues } from '../stores/file-values.ts';
import type { ValueStorage } from '../stores/value-storage.ts';

/**
 * A directory of one instance below the one that the application gives, which instances may share. State on disk is worth nothing after a
 * restart, since changelogs say what counts; what instances have left that were killed is removed.
 */
export class StateDirectory {
  readonly #path: string;
  #files = 0;

  private constructor(path: string) {
    this.#path = path;
  }

  static async make(parent: string, applicationId: string): Promise<StateDirectory> {
    await mkdir(parent, { recursive: true });
    const prefix = `${applicationId}.`;
    for (const name of await readdir(parent)) {
      const pid = name.startsWith(prefix) ? /^(\d+)\./.exec(name.slice(prefix.length))?.[1] : undefined;
      if (pid !== undefined && !isRunning(Number(pid)))
        await rm(join(parent, name), { recursive: true, force: true });
    }
    return new StateDirectory(await mkdtemp(join(parent, `${prefix}${process.pid}.`)));
  }

  open(task: string, store: string): ValueStorage {
    return new FileValues(join(this.#path, `${task}-${store}-${this.#files++}`));
  }

  remove(): Promise<void> {
    return rm(this.#path, { recursive: true, force: true });
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
