import { readFile } from 'node:fs/promises';

export interface Mount {
  readonly at: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** What `mountOf` reads. */
export function readMounts(): Promise<string> {
  return readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
}

/** The one that the directory is on: of those whose path it begins with the longest, and of these the last. */
export function mountOf(directory: string, mounts: string): Mount | null {
  let found: Mount | null = null;
  for (const line of mounts.split('\n')) {
    const [before, after] = line.split(' - ');
    const at = before?.split(' ')[4];
    const [type, , options] = after?.split(' ') ?? [];
    if (at === undefined || type === undefined) continue;
    const covers = at === '/' || directory === at || directory.startsWith(`${at}/`);
    if (covers && at.length >= (found?.at.length ?? 0))
      found = { at, type, options: options?.split(',') ?? [] };
  }
  return found;
}
