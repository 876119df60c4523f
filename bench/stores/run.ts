// Compares what moves between a gateway and a store with raw TCP, in the same run. See README.md.
//
//   npm run build && node dist/bench/stores/run.js [rounds] [seconds] [directory] [KiB,KiB,...] [provider]
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StoreConnection } from '../../src/backend/payload/stores/store-connection.ts';
import { NativeMemory } from '../../src/native/arena.ts';
import { PLAIN_TCP } from '../../src/native/fabric.ts';
import { median } from '../measure/statistics.ts';
import { BenchmarkStore, type Rate } from './store.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 1);
/** Where the stores have their files. */
const place = process.argv[4] ?? tmpdir();
const PIECES = (process.argv[5]?.split(',').map(Number) ?? [256, 1024, 4096]).map((kib) => kib << 10);
const PROVIDER = process.argv[6] ?? PLAIN_TCP;
const RECYCLE_BYTES = 8 * 2 ** 30;
const MEASURED_BYTES = 8 << 20;

function build(name: string): string {
  mkdirSync(`${root}build/bench`, { recursive: true });
  const program = `${root}build/bench/stores-${name}`;
  const flags = [
    '-std=c++17',
    '-O2',
    '-DNDEBUG',
    '-pthread',
    '-o',
    program,
    `${root}bench/stores/${name}.cc`,
  ];
  execFileSync(process.env.CXX ?? 'c++', flags, { stdio: 'inherit' });
  return program;
}

function numbers(program: string, ...words: string[]): number[] {
  return execFileSync(program, words, { encoding: 'utf8' }).split(' ').map(Number);
}

function rawTcp(piece: number): Rate {
  const [rate, cpu] = numbers(programs.raw, String(seconds), String(piece));
  return { rate: rate!, cpu: cpu! };
}

/** What one round has found. */
interface Round {
  readonly raw: Rate;
  /** GB/s of the device, in new space and in space that was written before. */
  readonly device: { readonly fresh: number; readonly again: number };
  readonly given: Rate;
  readonly fresh: Rate;
  readonly again: Rate;
}

/** What the engine moves without files, by the store, beside a loop that does nothing else over the same provider; by turns in each round. */
async function compareWithProvider(connection: StoreConnection, memory: NativeMemory): Promise<void> {
  console.log(
    `over ${PROVIDER}, no files | GB/s by the engine | by the bare provider | part, with its spread`,
  );
  const range = { offset: memory.arenaOffset, length: Math.min(memory.byteLength, MEASURED_BYTES) };
  for (const write of [false, true]) {
    const found: { engine: number; bare: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const measured = await connection.measure(write, range);
      found.push({ engine: measured.bytesPerSecond / 1e9, bare: measured.limitBytesPerSecond / 1e9 });
    }
    const of = (value: (one: (typeof found)[number]) => number) => median(found.map(value)).toFixed(2);
    const part = withSpread(found.map(({ engine, bare }) => engine / bare));
    const rates = `${of(({ engine }) => engine)} | ${of(({ bare }) => bare)}`;
    console.log(`${write ? 'given' : 'taken'} | ${rates} | ${part}`);
  }
}

/** The median, and in brackets the least and the most. */
function withSpread(values: readonly number[]): string {
  return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
}

function print(piece: number, found: readonly Round[]): void {
  const of = (value: (one: Round) => number) => median(found.map(value)).toFixed(2);
  const part = (key: 'given' | 'fresh' | 'again', limit: (one: Round) => number) =>
    withSpread(found.map((one) => one[key].rate / limit(one)));
  const raw = (one: Round) => one.raw.rate;
  const taken = (key: 'fresh' | 'again') => {
    const possible = part(key, (one) => Math.min(one.raw.rate, one.device[key]));
    return `${of((one) => one[key].rate)}, ${part(key, raw)}, ${possible}, ${of((one) => one[key].cpu)}`;
  };
  console.log(`${piece >> 10} KiB pieces`);
  console.log(`  raw TCP: ${of(raw)}, ${of((one) => one.raw.cpu)}`);
  console.log(
    `  the device: ${of(({ device }) => device.fresh)} in new space, ${of(({ device }) => device.again)} in used space`,
  );
  console.log(
    `  given by the store: ${of(({ given }) => given.rate)}, ${part('given', raw)}, ${of(({ given }) => given.cpu)}`,
  );
  console.log(`  taken, in new space: ${taken('fresh')}`);
  console.log(`  taken, in used space: ${taken('again')}`);
}

const programs = { raw: build('raw'), device: build('device') };
const directory = mkdtempSync(join(place, 'kafabric-bench-stores-'));
const memory = NativeMemory.allocate(BenchmarkStore.memoryBytes(Math.max(...PIECES)))!;
memory.bytes().fill(7);
const stores: BenchmarkStore[] = [];

async function start(name: string, recycleBytes: number): Promise<BenchmarkStore> {
  const store = await BenchmarkStore.start({
    directory: join(directory, name),
    provider: PROVIDER,
    recycleBytes,
    memory,
  });
  stores.push(store);
  return store;
}

try {
  const fresh = await start('fresh', 0);
  const again = await start('again', RECYCLE_BYTES);
  // Memory is there then, and space that was used.
  for (const store of [fresh, again]) await store.take(1 << 20, 2 * seconds);
  console.log(
    'GB/s, part of raw TCP, of what is taken also of the lower of raw TCP and the device, CPU s/GB of both ends',
  );
  for (const piece of PIECES) {
    const found: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      const [newSpace, usedSpace] = numbers(programs.device, directory, String(seconds));
      found.push({
        raw: rawTcp(piece),
        device: { fresh: newSpace!, again: usedSpace! },
        given: await again.give(piece, seconds),
        fresh: await fresh.take(piece, seconds),
        again: await again.take(piece, seconds),
      });
    }
    print(piece, found);
  }
  await compareWithProvider(again.connection, memory);
} finally {
  for (const store of stores) await store.stop();
  memory.release();
  rmSync(directory, { recursive: true });
}
