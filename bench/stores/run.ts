// Compares what moves between a gateway and a store over plain TCP with raw TCP, in the same run. See README.md.
//
//   npm run build && node dist/bench/stores/run.js [rounds] [seconds] [directory]
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { StoreConnection } from '../../src/backend/payload/stores/store-connection.ts';
import { splitAddress } from '../../src/backend/payload/stores/store-peer.ts';
import { newIncarnation, storedName } from '../../src/backend/payload/stores/stored-name.ts';
import { arenaStats, NativeMemory } from '../../src/native/arena.ts';
import { FabricTransport } from '../../src/native/fabric.ts';
import { systemClock } from '../../src/util/clock.ts';
import { median } from '../measure/statistics.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 1);
/** Where the store has its files. */
const place = process.argv[4] ?? tmpdir();
const PIECES = [256 << 10, 1 << 20, 4 << 20];
const UNDER_WAY = 8;
/** The store's file: it stays in the memory of the store when it is read. */
const FILE_BYTES = 64 << 20;
const SECRET = 'a secret for the benchmark';
const TIMEOUT_MS = 60_000;

function buildRaw(): string {
  mkdirSync(`${root}build/bench`, { recursive: true });
  const program = `${root}build/bench/stores-raw`;
  const flags = ['-std=c++17', '-O2', '-DNDEBUG', '-o', program, `${root}bench/stores/raw.cc`];
  execFileSync(process.env.CXX ?? 'c++', flags, { stdio: 'inherit' });
  return program;
}

async function startStore(directory: string) {
  const address = join(directory, 'address');
  const settings = {
    'payload.store.listener': '127.0.0.1:0',
    'payload.store.dir': join(directory, 'store'),
    'payload.store.address.file': address,
    'payload.stores.secret': SECRET,
    'metrics.listener': '',
    'arena.bytes': '536870912',
    'fabric.provider': 'plain-tcp',
  };
  const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
  const program = [join(root, 'dist/kafabric/main.js'), 'store', 'run', ...overrides];
  const child = spawn(process.execPath, program, { stdio: ['ignore', 'ignore', 'inherit'] });
  while (!existsSync(address)) {
    if (child.exitCode !== null) throw new Error('the store has ended');
    await setTimeout(50);
  }
  const options = { library: '', pieceBytes: 1 << 20, window: 8, host: '127.0.0.1', listen: false };
  const connection = await StoreConnection.open({
    ...splitAddress(readFileSync(address, 'utf8').trim()),
    secret: SECRET,
    identity: { role: 'gateway', cluster: 'bench', node: 1 },
    requestTimeoutMs: TIMEOUT_MS,
    clock: systemClock,
    fabric: {
      ways: [{ provider: 'plain-tcp', domain: '', network: '' }],
      host: 'bench',
      arenaBytes: arenaStats().capacityBytes,
      open: (way) => FabricTransport.open(way, options),
    },
  });
  return { child, connection };
}

/** Runs `action` for so long, several at a time; GB/s. */
async function rate(piece: number, action: (i: number) => Promise<unknown>): Promise<number> {
  const began = performance.now();
  const isOver = () => performance.now() - began >= seconds * 1000;
  let next = 0;
  let bytes = 0;
  const one = async () => {
    while (!isOver()) {
      await action(next++);
      bytes += piece;
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, one));
  return bytes / 1e6 / (performance.now() - began);
}

async function measure(connection: StoreConnection, memory: NativeMemory, piece: number) {
  const file = storedName({
    partition: 'bench-0.AAAAAAAAAAAAAAAAAAAAAA',
    segment: 0,
    incarnation: newIncarnation('bench'),
  });
  const order = { file, length: piece, key: connection.key, timeoutMs: TIMEOUT_MS };
  const offset = (i: number) => memory.arenaOffset + (i % UNDER_WAY) * piece;
  const appendAt = (i: number, fromMemory: boolean) => {
    const from = { ...order, position: i * piece, source: offset(i), fromMemory };
    return connection.request({ op: 'append', ...from });
  };
  await connection.request({ op: 'create', file });
  const taken = await rate(piece, (i) => appendAt(i, true));
  await connection.request({ op: 'sync', file });
  const { files } = await connection.request({ op: 'list', after: '' });
  const bytes = Math.min(FILE_BYTES, files.find((listed) => listed.file === file)!.bytes);
  const given = await rate(piece, (i) => {
    const position = (i * piece) % Math.max(piece, bytes - (bytes % piece));
    return connection.request({ op: 'read', ...order, position, seed: 0, target: offset(i) });
  });
  await connection.request({ op: 'remove', file });
  return { taken, given };
}

const raw = buildRaw();
const directory = mkdtempSync(join(place, 'kafabric-bench-stores-'));
const { child, connection } = await startStore(directory);
const memory = NativeMemory.allocate(UNDER_WAY * PIECES[PIECES.length - 1]!)!;
memory.bytes().fill(7);
try {
  console.log('piece | raw TCP GB/s | given by the store GB/s, part | taken and acknowledged GB/s, part');
  for (const piece of PIECES) {
    const found: { raw: number; taken: number; given: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const bare = Number(execFileSync(raw, [String(seconds), String(piece)], { encoding: 'utf8' }));
      found.push({ raw: bare, ...(await measure(connection, memory, piece)) });
    }
    const of = (value: (one: (typeof found)[number]) => number) => median(found.map(value)).toFixed(2);
    const given = `${of((one) => one.given)}, ${of((one) => one.given / one.raw)}`;
    const taken = `${of((one) => one.taken)}, ${of((one) => one.taken / one.raw)}`;
    console.log(`${piece >> 10} KiB | ${of((one) => one.raw)} | ${given} | ${taken}`);
  }
} finally {
  connection.end('the benchmark has ended');
  await connection.closed;
  memory.release();
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('close', resolve));
  rmSync(directory, { recursive: true });
}
