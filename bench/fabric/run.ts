// Compares the bulk engine with the provider that it uses, in the same run. See README.md.
//
//   npm run build && node dist/bench/fabric/run.js [rounds] [seconds] [provider]
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { median } from '../measure/statistics.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 1);
/** Only providers whose name contains this. */
const only = process.argv[4] ?? '';

/** The engine's bandwidth as a part of the provider's own, at least. */
const TARGET = 0.9;
const BYTES = 64 << 20;
const PIECES = [256 << 10, 1 << 20, 4 << 20];
const TARGET_FROM = 1 << 20;
const PROVIDERS = ['shm', 'tcp;ofi_rxm', 'tcp', 'sockets', 'plain-tcp'];
/** The program's answer when the provider is not here. */
const ABSENT = 77;

function build(): string {
  mkdirSync(`${root}build/bench`, { recursive: true });
  const program = `${root}build/bench/fabric-raw`;
  const sources = readdirSync(`${root}native/fabric`)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => `${root}native/fabric/${name}`);
  const includes = [`-I${root}native`, '-isystem', `${root}native/third_party/libfabric`];
  const flags = ['-std=c++17', '-O2', '-DNDEBUG', '-pthread', ...includes];
  const own = [`${root}bench/fabric/raw.cc`, `${root}native/store/io.cc`];
  execFileSync(process.env.CXX ?? 'c++', [...flags, '-o', program, ...own, ...sources, '-ldl'], {
    stdio: 'inherit',
  });
  return program;
}

const program = build();
const library = process.env.KAFABRIC_FABRIC_LIBRARY ?? '';
let missed = false;
console.log('provider piece direction | engine GB/s, CPU s/GB | provider GB/s, CPU s/GB | ratio');
for (const provider of PROVIDERS.filter((name) => name.includes(only))) {
  for (const piece of PIECES) {
    const args = ['store', provider, String(BYTES), String(seconds), String(rounds), String(piece), library];
    const { status, stdout } = spawnSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (status === ABSENT) {
      console.log(`${provider}: not here`);
      break;
    }
    if (status !== 0) throw new Error(`${provider}: the measurement failed`);
    const lines = stdout.trim().split('\n');
    for (const direction of ['read', 'write']) {
      const of = lines.map((line) => line.split(' ')).filter(([name]) => name === direction);
      const column = (at: number) => median(of.map((fields) => Number(fields[at])));
      const ratio = median(of.map((fields) => Number(fields[1]) / Number(fields[3])));
      const raw = `${column(3).toFixed(2)}, ${column(4).toFixed(2)} | ${ratio.toFixed(2)}`;
      console.log(
        `${provider} ${piece >> 10} KiB ${direction} | ${column(1).toFixed(2)}, ${column(2).toFixed(2)} | ${raw}`,
      );
      if (piece >= TARGET_FROM && ratio < TARGET) missed = true;
    }
  }
}
if (missed) {
  console.log(`the target of ${TARGET} at 1 MiB and up is missed`);
  process.exitCode = 1;
}
