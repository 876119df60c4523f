import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeMetaProperties, META_PROPERTIES } from '../../backend/log/checkpoint-files.ts';
import { forgetPath } from '../../backend/payload/tiers/forget-path.ts';
import type { Store } from '../../native/store.ts';

/**
 * Gives up what a directory of the tiers of a gateway held that does not run, or a bucket. A directory of `log.dirs` that cannot be read is left
 * out: the newest of what they say counts. Returns those that were.
 * @throws Error for people, and nothing has changed: see `forgetPath`, and when the gateway runs
 */
export async function forgetTier(
  logDirectories: readonly string[],
  store: Store,
  path: string,
): Promise<readonly string[]> {
  const usable = new Map<string, Uint8Array>();
  const leftOut: string[] = [];
  for (const directory of logDirectories) {
    const meta = await readFile(join(directory, META_PROPERTIES)).catch(() => null);
    if (meta === null) leftOut.push(directory);
    else usable.set(directory, meta);
  }
  const [first] = usable.values();
  if (first === undefined) throw new Error(`there is no gateway in ${logDirectories.join(', ')}`);
  const { clusterId, nodeId } = decodeMetaProperties(first);
  const directories = [...usable.keys()];
  const locks = [];
  try {
    for (const directory of directories) locks.push(store.lockDirectory(directory));
    await forgetPath({ logDirectories: directories, path, owner: { clusterId, nodeId } });
  } finally {
    for (const lock of locks) lock.release();
  }
  return leftOut;
}
