import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout; this file runs from dist/bench. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** The benchmark's sources, with the files that are not TypeScript. */
export const sources = join(root, 'bench');

/** Downloads, compiled generators and the systems' data while they run. */
export const cache = join(root, '.cache/bench');

export const resultsFolder = join(sources, 'results');

/** The results that docs/benchmarks.md shows. */
export const recordedFile = join(sources, 'recorded.json');
