// Gateways with three stores on this machine: how fast they take records with 1, 2 and 3 copies, by who makes the copies, and how long reads stand still when
// a store dies. See README.md.
//
//   npm run build && node dist/bench/stores/gateway.js [rounds] [seconds] [directory] [produce] [MB/s from the gateways to the stores]
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '../../src/client/client.ts';
import { freePort } from '../../src/util/free-port.ts';
import { median } from '../measure/statistics.ts';
import { LimitedNetwork } from './network.ts';

const program = fileURLToPath(new URL('../../src/server/cli/main.js', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 2);
const place = process.argv[4] ?? tmpdir();
/** Whether reads are tried too. */
const onlyProduce = process.argv[5] === 'produce';
/** 0: all is on the loopback interface. */
const limit = Number(process.argv[6] ?? 0);
const STORES = 3;
const RECORD_BYTES = 1 << 20;
const UNDER_WAY = 16;
/** Enough to read for a while after a store has died. */
const READ_RECORDS = 1024;
const SECRET = 'a secret for the benchmark';
const COMMON = {
  'payload.stores.secret': SECRET,
  'fabric.provider': 'plain-tcp',
  'arena.bytes': '402653184',
};

const network = limit > 0 ? new LimitedNetwork(limit) : null;

function run(
  command: readonly string[],
  settings: Record<string, string>,
  place: LimitedNetwork | null = null,
): ChildProcess {
  const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
  const words = [program, ...command, '--log-level', 'error', ...overrides];
  const [file, all] = place?.within(process.execPath, words) ?? [process.execPath, words];
  return spawn(file, all, { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function startStore(directory: string, index: number): Promise<ChildProcess> {
  const address = join(directory, `${index}.address`);
  rmSync(address, { force: true });
  const settings = {
    ...COMMON,
    'payload.store.listener': `${network?.host ?? '127.0.0.1'}:0`,
    'payload.store.dir': join(directory, `store-${index}`),
    'payload.store.address.file': address,
    'metrics.listener': '',
  };
  const child = run(['store', 'run'], settings, network);
  while (!existsSync(address)) {
    if (child.exitCode !== null) throw new Error(`the store ${index} has ended`);
    await setTimeout(50);
  }
  return child;
}

/** See `payload.stores.copy.source`. */
type CopySource = 'gateway' | 'store';

async function startGateway(
  directory: string,
  source: CopySource,
): Promise<{ child: ChildProcess; direct: string }> {
  const [plain, direct, metrics] = [await freePort(), await freePort(), await freePort()];
  const addresses = Array.from({ length: STORES }, (_, i) =>
    readFileSync(join(directory, `${i}.address`), 'utf8').trim(),
  );
  const child = run(['start'], {
    ...COMMON,
    listeners: `PLAINTEXT://127.0.0.1:${plain},DIRECT://127.0.0.1:${direct}`,
    'metrics.listener': `http://127.0.0.1:${metrics}`,
    'log.dirs': join(directory, `data-${source}`),
    'payload.stores.copy.source': source,
    'payload.stores': addresses.join(','),
    'log.ack': 'memory',
    'log.durability': 'os',
  });
  for (let ready = false; !ready; ) {
    if (child.exitCode !== null) throw new Error('the gateway has ended');
    ready = await fetch(`http://127.0.0.1:${metrics}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (!ready) await setTimeout(100);
  }
  return { child, direct: `127.0.0.1:${direct}` };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  await ended;
}

const record = Buffer.alloc(RECORD_BYTES, 7);
let topics = 0;

async function topicOf(client: Client, replicas: number) {
  const configs = {
    'payload.replicas': String(replicas),
    'payload.min.insync.replicas': '1',
    'payload.segment.bytes': '134217728',
  };
  return client.createTopic(`bench-${topics++}`, { configs });
}

interface Produced {
  /** GB/s. */
  readonly rate: number;
  /** Seconds of CPU time for a GB. */
  readonly gateway: number;
  readonly stores: number;
}

/** In steps of a hundredth of a second. */
function cpuSeconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Records of 1 MiB, acknowledged by as many stores as the topic asks for. */
async function produce(
  { client, child }: Running,
  stores: readonly ChildProcess[],
  replicas: number,
): Promise<Produced> {
  const topic = await topicOf(client, replicas);
  const producer = topic.producer();
  const ofStores = () => stores.reduce((sum, store) => sum + cpuSeconds(store), 0);
  const [gatewayBefore, storesBefore] = [cpuSeconds(child), ofStores()];
  const began = performance.now();
  let bytes = 0;
  const one = async () => {
    while (performance.now() - began < seconds * 1000) {
      await producer.push(null, record);
      bytes += RECORD_BYTES;
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, one));
  const rate = bytes / 1e6 / (performance.now() - began);
  const gateway = (cpuSeconds(child) - gatewayBefore) / (bytes / 1e9);
  const ofAllStores = (ofStores() - storesBefore) / (bytes / 1e9);
  await producer.close();
  await client.deleteTopic(topic.name);
  return { rate, gateway, stores: ofAllStores };
}

/** Reads records that all stores have while one of them ends in this way; the longest time between two of them before and after that, in milliseconds. */
async function failOver(
  client: Client,
  stores: ChildProcess[],
  signal: 'SIGKILL' | 'SIGSTOP',
): Promise<{ before: number; after: number }> {
  const topic = await topicOf(client, STORES);
  const producer = topic.producer();
  await Promise.all(Array.from({ length: READ_RECORDS }, () => producer.push(null, record)));
  await producer.close();
  const consumer = topic.consumer({ select: 'all', prefetchDataBytes: 8 * RECORD_BYTES });
  const longest = { before: 0, after: 0 };
  let last = performance.now();
  for (let i = 0; i < READ_RECORDS; i++) {
    const event = await consumer.pull({ timeoutMs: 60_000 });
    if (event === null) throw new Error('nothing came');
    const now = performance.now();
    const when = i < READ_RECORDS / 2 ? 'before' : 'after';
    // The first ones come when everything is connected.
    if (i > 16) longest[when] = Math.max(longest[when], now - last);
    last = now;
    if (i === READ_RECORDS / 2 - 1) stores[0]!.kill(signal);
  }
  await consumer.close();
  await client.deleteTopic(topic.name);
  return longest;
}

const directory = mkdtempSync(join(place, 'kafabric-bench-stores-'));
for (const source of ['gateway', 'store']) mkdirSync(join(directory, `data-${source}`));
const children: ChildProcess[] = [];

interface Running {
  readonly source: CopySource;
  readonly child: ChildProcess;
  readonly client: Client;
}

/** Fresh processes: a store that was killed has another port when it comes back. */
async function withGateways<T>(
  sources: readonly CopySource[],
  work: (gateways: Running[], stores: ChildProcess[]) => Promise<T>,
): Promise<T> {
  const stores: ChildProcess[] = [];
  for (let i = 0; i < STORES; i++) stores.push(await startStore(directory, i));
  children.push(...stores);
  const gateways: Running[] = [];
  for (const source of sources) {
    const { child, direct } = await startGateway(directory, source);
    children.push(child);
    gateways.push({ source, child, client: await Client.connect({ bootstrap: direct }) });
  }
  try {
    return await work(gateways, stores);
  } finally {
    for (const { client, child } of gateways) {
      client.close();
      await end(child);
    }
    for (const store of stores) await end(store);
  }
}

/** Who comes first in the one round comes last in the next. */
const byTurns = <T>(all: readonly T[], round: number) => (round % 2 === 0 ? all : [...all].reverse());

async function measureFailOver(): Promise<void> {
  console.log('a store | longest time between two records before it, and from then on, ms, medians');
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const found: { before: number; after: number }[] = [];
    for (let round = 0; round < Math.min(rounds, 3); round++)
      found.push(
        await withGateways(['gateway'], ([gateway], stores) => failOver(gateway!.client, stores, signal)),
      );
    const of = (value: (one: (typeof found)[number]) => number) => median(found.map(value)).toFixed(0);
    console.log(`${signal} | ${of(({ before }) => before)} | ${of(({ after }) => after)}`);
  }
}

try {
  console.log('copies, made by | GB/s | CPU s/GB of the gateway | of the stores; medians of the rounds');
  const produced = new Map<string, Produced[]>();
  await withGateways(['gateway', 'store'], async (gateways, stores) => {
    // The first round only warms up.
    for (let round = 0; round <= rounds; round++)
      for (let replicas = 1; replicas <= STORES; replicas++)
        for (const gateway of replicas === 1 ? gateways.slice(0, 1) : byTurns(gateways, round)) {
          const one = await produce(gateway, stores, replicas);
          const key = replicas === 1 ? '1' : `${replicas}, ${gateway.source}`;
          if (round > 0) produced.set(key, [...(produced.get(key) ?? []), one]);
        }
  });
  for (const [key, found] of produced) {
    const of = (value: (one: Produced) => number) => median(found.map(value)).toFixed(2);
    console.log(
      `${key} | ${of(({ rate }) => rate)} | ${of((one) => one.gateway)} | ${of((one) => one.stores)}`,
    );
  }
  if (!onlyProduce) await measureFailOver();
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
  network?.remove();
}
