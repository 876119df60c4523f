import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of all files below a directory, of which others may rename and remove some meanwhile, and directories too. Throws when it is not there. */
export function filesBelow(directory: string): string[] {
  for (;;) {
    try {
      return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map(({ parentPath, name }) => join(parentPath, name));
    } catch (error) {
      const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!isGone || !existsSync(directory)) throw error;
    }
  }
}
