// What memory allows for pulls of whole events, by the program in parts.cc.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cache, root, sources } from '../paths.ts';
import { requireCommands } from '../tools.ts';

const BYTES = 1_000_000;
const SECONDS = 0.2;
const ROUNDS = 3;

/**
 * What one thread copies of memory that is in no cache, between mappings that processes share, by the better of memcpy and the gateway's own copy; MB/s.
 * Compiles the program, with the gateway's own copies and sums, and runs it for some seconds.
 */
export function memoryLimit(): number {
  return limitOf(execFileSync(build(), [BYTES, SECONDS, ROUNDS].map(String), { encoding: 'utf8' }));
}

function build(): string {
  requireCommands(['c++'], ['g++']);
  mkdirSync(cache, { recursive: true });
  const program = join(cache, 'direct-parts');
  const native = join(root, 'native');
  const sums = readdirSync(join(native, 'batch')).filter((name) => /^crc32c.*\.cc$/.test(name));
  const files = [
    join(sources, 'direct/parts.cc'),
    ...sums.map((name) => join(native, 'batch', name)),
    join(native, 'direct/guarded_copy.cc'),
  ];
  const flags = ['-std=c++17', '-O2', '-DNDEBUG', '-pthread', `-I${native}`];
  execFileSync('c++', [...flags, '-o', program, ...files], { stdio: 'inherit' });
  return program;
}

/** Of what the program prints: the microseconds of an event behind the name of what was done with it. */
export function limitOf(output: string): number {
  const micros = new Map(
    output.split('\n').map((line) => [line.split(' | ')[0]!, Number(line.split(' | ')[1])]),
  );
  const rate = (name: string) => {
    const us = micros.get(name);
    if (us === undefined || !(us > 0)) throw new Error(`no figure for ${name} in ${output}`);
    return BYTES / us;
  };
  return Math.max(rate('memcpy, one thread'), rate("gateway's copy, one thread"));
}
