import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Removes a file; one that is already gone is no error. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** The names in a directory; none where there is no directory. Rejects when it cannot be read: nobody is to take it for empty then. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Makes a directory, durably, unless it is there. */
export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await syncDirectory(dirname(path));
}

/** Makes the creation, renaming or removal of files in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  await using(await open(path, 'r'), (handle) => handle.sync());
}

/** Replaces a small file so that a crash leaves the old or the new content, never a mixture. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  await using(await open(temporary, 'w'), async (handle) => {
    await handle.writeFile(bytes);
    await handle.sync();
  });
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** The first bytes of a file, fewer if it is shorter, or null if it cannot be read. */
export async function readAtMost(path: string, length: number): Promise<Buffer | null> {
  const handle = await open(path, 'r').catch(() => null);
  if (handle === null) return null;
  return using(handle, async () => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  }).catch(() => null);
}

async function using<T>(handle: FileHandle, action: (handle: FileHandle) => Promise<T>): Promise<T> {
  try {
    return await action(handle);
  } finally {
    await handle.close();
  }
}
