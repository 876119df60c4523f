// Compares what moves between a gateway and a store with raw TCP, in the same run. See README.md.
//
//   npm run build && node dist/bench/stores/run.js [rounds] [seconds] [directory] [KiB,KiB,...] [provider]
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
import { FabricTransport, inspectFabric, PLAIN_TCP } from '../../src/native/fabric.ts';
import { usableWays } from '../../src/native/fabric-choice.ts';
import { systemClock } from '../../src/util/clock.ts';
import { median } from '../measure/statistics.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 1);
/** Where the store has its files. */
const place = process.argv[4] ?? tmpdir();
const PIECES = (process.argv[5]?.split(',').map(Number) ?? [256, 1024, 4096]).map((kib) => kib << 10);
const PROVIDER = process.argv[6] ?? PLAIN_TCP;
const UNDER_WAY = 8;
/** The store's file: it stays in the memory of the store when it is read. */
const FILE_BYTES = 64 << 20;
const MEASURED_BYTES = 8 << 20;
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
    // On a busy machine nothing is heard of an end for seconds.
    'payload.store.heartbeat.ms': '60000',
    'fabric.provider': PROVIDER,
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
      ways: usableWays(await inspectFabric(''), { provider: PROVIDER, domain: '' }),
      host: 'bench',
      arenaBytes: arenaStats().capacityBytes,
      open: (way) => FabricTransport.open(way, options),
    },
  });
  return { child, connection };
}

interface Rate {
  /** GB/s. */
  readonly rate: number;
  /** Seconds of CPU time of both processes for a GB. */
  readonly cpu: number;
}

/** CPU time of this process and the store's, in seconds; of the latter in steps of a hundredth. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (user + system) / 1e6 + (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Runs `action` for so long, several at a time. */
async function rate(piece: number, action: (i: number) => Promise<unknown>): Promise<Rate> {
  const cpu = cpuSeconds();
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
  const gigabytes = bytes / 1e9;
  return {
    rate: (gigabytes * 1000) / (performance.now() - began),
    cpu: (cpuSeconds() - cpu) / gigabytes,
  };
}

let segments = 0;

/** A file of the store's, begun. */
async function newFile(connection: StoreConnection): Promise<string> {
  const partition = 'bench-0.AAAAAAAAAAAAAAAAAAAAAA';
  const file = storedName({ partition, segment: segments++, incarnation: newIncarnation('bench') });
  await connection.request({ op: 'create', file });
  return file;
}

async function measure(connection: StoreConnection, memory: NativeMemory, piece: number) {
  const order = { length: piece, key: connection.key, timeoutMs: TIMEOUT_MS };
  const offset = (i: number) => memory.arenaOffset + (i % UNDER_WAY) * piece;
  const append = (file: string, i: number) =>
    connection.request({
      op: 'append',
      ...order,
      file,
      position: i * piece,
      source: offset(i),
      fromMemory: true,
    });
  const written = await newFile(connection);
  const taken = await rate(piece, (i) => append(written, i));
  await connection.request({ op: 'remove', file: written });
  // Of its own, so that the store still has all of it in memory.
  const read = await newFile(connection);
  const pieces = FILE_BYTES / piece;
  for (let i = 0; i < pieces; i++) await append(read, i);
  await connection.request({ op: 'sync', file: read });
  const given = await rate(piece, (i) => {
    const position = (i % pieces) * piece;
    return connection.request({ op: 'read', ...order, file: read, position, seed: 0, target: offset(i) });
  });
  await connection.request({ op: 'remove', file: read });
  return { taken, given };
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
    const parts = found.map(({ engine, bare }) => engine / bare).sort((a, b) => a - b);
    const spread = `${parts[0]!.toFixed(2)} to ${parts[parts.length - 1]!.toFixed(2)}`;
    const rates = `${of(({ engine }) => engine)} | ${of(({ bare }) => bare)}`;
    console.log(`${write ? 'given' : 'taken'} | ${rates} | ${median(parts).toFixed(2)} (${spread})`);
  }
}

const raw = buildRaw();
const directory = mkdtempSync(join(place, 'kafabric-bench-stores-'));
const { child, connection } = await startStore(directory);
const memory = NativeMemory.allocate(UNDER_WAY * PIECES[PIECES.length - 1]!)!;
memory.bytes().fill(7);
try {
  console.log('GB/s, the part of raw TCP with its spread, and CPU seconds of both processes for a GB');
  console.log('piece | raw TCP | given by the store | taken and acknowledged');
  for (const piece of PIECES) {
    const found: { raw: Rate; taken: Rate; given: Rate }[] = [];
    for (let round = 0; round < rounds; round++) {
      const words = execFileSync(raw, [String(seconds), String(piece)], { encoding: 'utf8' }).split(' ');
      const bare = { rate: Number(words[0]), cpu: Number(words[1]) };
      found.push({ raw: bare, ...(await measure(connection, memory, piece)) });
    }
    const of = (value: (one: (typeof found)[number]) => number) => median(found.map(value)).toFixed(2);
    const shown = (key: 'given' | 'taken') => {
      const parts = found.map((one) => one[key].rate / one.raw.rate).sort((a, b) => a - b);
      const spread = `${parts[0]!.toFixed(2)} to ${parts[parts.length - 1]!.toFixed(2)}`;
      return `${of((one) => one[key].rate)}, ${median(parts).toFixed(2)} (${spread}), ${of((one) => one[key].cpu)}`;
    };
    const bare = `${of(({ raw }) => raw.rate)}, ${of(({ raw }) => raw.cpu)}`;
    console.log(`${piece >> 10} KiB | ${bare} | ${shown('given')} | ${shown('taken')}`);
  }
  await compareWithProvider(connection, memory);
} finally {
  connection.end('the benchmark has ended');
  await connection.closed;
  memory.release();
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('close', resolve));
  rmSync(directory, { recursive: true });
}
