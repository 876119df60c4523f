import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Codec, decompressAsync } from '../../native/codec.ts';
import type { Store } from '../../native/store.ts';
import type { DirectoryEntry, FileSystem, LogFile } from './ports.ts';
import { scanBatches } from './scan.ts';

const DECOMPRESSED_BYTES_MAX = 1 << 30;

/** The machine's disks through the native store. */
export function storeFileSystem(store: Store): FileSystem {
  return {
    open: (path, options) => store.open(path, options) as Promise<LogFile>,
    async readFile(path, limitBytes) {
      try {
        const { size } = await stat(path);
        if (size > limitBytes)
          throw new Error(`${path} has ${size} bytes, at most ${limitBytes} are expected`);
        return await readFile(path);
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    replaceFile: (path, bytes) => store.atomicWrite(path, bytes),
    async list(path) {
      try {
        const entries = await readdir(path, { withFileTypes: true });
        return await Promise.all(
          entries.map(async (entry): Promise<DirectoryEntry> => {
            const { size, mtimeMs } = await stat(join(path, entry.name));
            return {
              name: entry.name,
              isDirectory: entry.isDirectory(),
              sizeBytes: size,
              modifiedMs: mtimeMs,
            };
          }),
        );
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    async makeDirectory(path) {
      await mkdir(path, { recursive: true });
    },
    rename,
    remove: (path) => rm(path, { recursive: true, force: true }),
    syncDirectory: (path) => store.syncDirectory(path),
    lockDirectory: (path) => store.lockDirectory(path),
    scanBatches,
    decompress: (codec, bytes) => decompressAsync(codec as Codec, bytes, DECOMPRESSED_BYTES_MAX),
  };
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
