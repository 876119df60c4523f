import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../../util/logger.ts';
import { makeDirectory, replaceFile } from '../small-files.ts';
import { splitAddress } from './store-peer.ts';

const MAX_ADDRESSES = 1024;
const SUFFIX = '.address';

/** Whether an element of `payload.stores` is a path. */
export function isPath(store: string): boolean {
  return store.startsWith('/');
}

/**
 * The addresses in `payload.stores`: `host:port`, files with one in each line, and directories of such files. `lacks`: called when there may be more, for
 * something could not be read.
 */
export async function addressesOf(
  stores: readonly string[],
  logger: Logger,
  lacks: () => void = () => undefined,
): Promise<string[]> {
  const found = new Set<string>();
  for (const store of stores) {
    const addresses = isPath(store) ? await inFiles(store, logger, lacks) : [store];
    for (const address of addresses) if (found.size < MAX_ADDRESSES) found.add(address);
  }
  return [...found];
}

async function inFiles(path: string, logger: Logger, lacks: () => void): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return addressesIn(path, await readFile(path, 'utf8'), logger);
    const names = (await readdir(path)).filter((name) => name.endsWith(SUFFIX));
    const files = names.map((name) => join(path, name));
    const unread = (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') lacks();
      return '';
    };
    const all = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(unread)));
    return all.flatMap((text, i) => addressesIn(files[i]!, text, logger));
  } catch (error) {
    logger.warn({ path, reason: (error as Error).message }, 'addresses of payload stores cannot be read');
    lacks();
    return [];
  }
}

/** A line that is none keeps nobody from the others. */
function addressesIn(path: string, text: string, logger: Logger): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => {
    if (line === '' || line.startsWith('#')) return false;
    if (isAddress(line)) return true;
    logger.warn({ path, line: line.slice(0, 100) }, 'a line is no address of a payload store, no host:port');
    return false;
  });
}

function isAddress(text: string): boolean {
  try {
    splitAddress(text);
    return true;
  } catch {
    return false;
  }
}

/** Where a store writes its address: the file itself, or one of its own in a directory (a path that ends with a slash). */
export function addressFile(path: string, store: string): string {
  return path.endsWith('/') ? join(path, `${store}${SUFFIX}`) : path;
}

/** Writes a store's address so that readers see all of it or nothing. */
export async function writeAddress(path: string, address: string): Promise<void> {
  await makeDirectory(join(path, '..'));
  await replaceFile(path, Buffer.from(`${address}\n`));
}
