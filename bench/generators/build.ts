import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cache, root, sources } from '../paths.ts';
import { debian, requireCommands } from '../tools.ts';

const folder = join(sources, 'generators/client');

/** The library inside @confluentinc/kafka-javascript, newer than a distribution's, once the compatibility suites have built it. */
const bundled = join(
  root,
  'compat-tests/confluent-kafka-javascript/node_modules/@confluentinc/kafka-javascript/build/deps',
);

interface Library {
  /** File name suffix of the program that is linked with it. */
  tag: string;
  flags: string[];
}

function systemLibrary(): Library | null {
  try {
    execFileSync('gcc', ['-E', '-include', 'librdkafka/rdkafka.h', '-x', 'c', '/dev/null'], {
      stdio: 'ignore',
    });
    return { tag: 'system', flags: ['-lrdkafka'] };
  } catch {
    return null;
  }
}

function bundledLibrary(): Library | null {
  if (!existsSync(join(bundled, 'librdkafka.so.1'))) return null;
  const flags = ['-isystem', join(bundled, 'include'), `-L${bundled}`, `-Wl,-rpath,${bundled}`, '-lrdkafka'];
  return { tag: 'bundled', flags };
}

function findLibrary(): Library {
  const found = bundledLibrary() ?? systemLibrary();
  if (found) return found;
  debian(['librdkafka-dev'], 'librdkafka is not installed');
  const installed = systemLibrary();
  if (!installed) throw new Error('librdkafka-dev is installed, yet its header is not found');
  return installed;
}

/** Why the generator cannot be built here; null when it can. Installs nothing. */
export function generatorMissing(): string | null {
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'gcc not found; get it with: apt-get install gcc libc6-dev';
  }
  return (bundledLibrary() ?? systemLibrary())
    ? null
    : 'librdkafka not found; get it with: apt-get install librdkafka-dev';
}

/** Compiles the generator when it is out of date; resolves to the program. */
export function buildGenerator(): string {
  requireCommands(['gcc'], ['gcc', 'libc6-dev']);
  const library = findLibrary();
  mkdirSync(cache, { recursive: true });
  // Where the library lies is part of the program: one that was built for a folder that is gone would take another library unasked.
  const place = createHash('sha256').update(library.flags.join(' ')).digest('hex').slice(0, 8);
  const program = join(cache, `client-${library.tag}-${place}`);
  const files = readdirSync(folder).map((name) => join(folder, name));
  const newest = Math.max(...files.map((file) => statSync(file).mtimeMs));
  if (existsSync(program) && statSync(program).mtimeMs > newest) return program;
  const code = files.filter((file) => file.endsWith('.c'));
  execFileSync(
    'gcc',
    [
      '-std=gnu11',
      '-O2',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-o',
      program,
      ...code,
      ...library.flags,
      '-lpthread',
      '-lm',
    ],
    { stdio: 'inherit' },
  );
  return program;
}

export function generatorVersion(program: string): string {
  return `librdkafka ${execFileSync(program, ['version'], { encoding: 'utf8' }).trim()}`;
}
