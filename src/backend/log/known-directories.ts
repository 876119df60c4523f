import { join } from 'node:path';
import type { FileSystem } from './ports.ts';

/** In each log directory: the paths of all that are in use together. Without it: only itself. */
export const KNOWN_DIRECTORIES = 'known-log-dirs.json';

const LIMIT_BYTES = 1 << 20;

/** What a log directory says which are in use together. Rejects with an Error for people. */
export async function readKnownDirectories(fileSystem: FileSystem, directory: string): Promise<string[]> {
  const file = join(directory, KNOWN_DIRECTORIES);
  const bytes = await fileSystem.readFile(file, LIMIT_BYTES);
  if (bytes === null) return [directory];
  const paths = parse(new TextDecoder().decode(bytes));
  const isWhole = Array.isArray(paths) && paths.every((path) => typeof path === 'string');
  if (!isWhole) throw new Error(`${file} is damaged; remove it if every log directory is mounted`);
  return paths;
}

/** Writes it, durably, unless the directory says so already. */
export async function writeKnownDirectories(
  fileSystem: FileSystem,
  directory: string,
  paths: readonly string[],
): Promise<void> {
  const content = JSON.stringify(paths);
  if (JSON.stringify(await readKnownDirectories(fileSystem, directory)) === content) return;
  await fileSystem.replaceFile(join(directory, KNOWN_DIRECTORIES), Buffer.from(content));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
