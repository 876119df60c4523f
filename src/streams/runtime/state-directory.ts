import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { FileValues } from '../stores/file-values.ts';
import type { ValueStorage } from '../stores/value-storage.ts';

/** The names of those that instances of this thread have. */
const own = new Set<string>();

/**
 * A directory of one instance below the one that the application gives, which instances may share, also those of other machines and
 * containers. State on disk is worth nothing after a restart, since changelogs say what counts; what instances have left that were killed
 * is removed by the next one with the same host name.
 */
export class StateDirectory {
  readonly #path: string;
  #files = 0;

  private constructor(path: string) {
    this.#path = path;
  }

  static async make(parent: string, applicationId: string): Promise<StateDirectory> {
    await mkdir(parent, { recursive: true });
    // Of others' processes nothing is known here.
    const prefix = `${applicationId}.${hostname()}.`;
    for (const name of await readdir(parent)) {
      const pid = name.startsWith(prefix) ? /^(\d+)\./.exec(name.slice(prefix.length))?.[1] : undefined;
      if (pid !== undefined && !(await isInUse(parent, name, Number(pid))))
        await rm(join(parent, name), { recursive: true, force: true });
    }
    // At once, so that no other instance finds it before it is known.
    const path = mkdtempSync(join(parent, `${prefix}${process.pid}.`));
    own.add(basename(path));
    return new StateDirectory(path);
  }

  open(task: string, store: string): ValueStorage {
    return new FileValues(join(this.#path, `${task}-${store}-${this.#files++}`));
  }

  async remove(): Promise<void> {
    own.delete(basename(this.#path));
    await rm(this.#path, { recursive: true, force: true });
  }
}

async function isInUse(parent: string, name: string, pid: number): Promise<boolean> {
  if (pid === process.pid) return own.has(name) || (await isOfThisProcess(join(parent, name)));
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Not of one that was killed and had the same id, as processes of containers do: another thread has it. */
async function isOfThisProcess(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found !== null && found.mtimeMs >= Date.now() - 1000 * process.uptime();
}
