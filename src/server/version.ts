import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findPackage(folder: string): string {
  const file = join(folder, 'package.json');
  try {
    return readFileSync(file, 'utf8');
  } catch {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the installation is incomplete: package.json is missing');
    return findPackage(parent);
  }
}

/** The version in package.json. */
export const version: string = JSON.parse(findPackage(dirname(fileURLToPath(import.meta.url)))).version;
