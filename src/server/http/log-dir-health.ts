import type { LogDirectory } from '../../backend/log/log-directory.ts';

/** Why nobody can be served, when every directory of `log.dirs` is out of use; nothing while one is not. */
export function logDirTroubles(directories: readonly Pick<LogDirectory, 'error'>[]): string[] {
  const failures = directories.flatMap(({ error }) => error?.message ?? []);
  return failures.length === directories.length ? failures : [];
}
