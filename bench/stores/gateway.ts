// A gateway with three stores on this machine: how fast it takes records with 1, 2 and 3 copies, and how long reads stand still when a store dies. See README.md.
//
//   npm run build && node dist/bench/stores/gateway.js [rounds] [seconds] [directory]
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '../../src/client/client.ts';
import { median } from '../measure/statistics.ts';
import { freePort } from '../systems/wire.ts';

const program = fileURLToPath(new URL('../../src/server/cli/main.js', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 2);
const place = process.argv[4] ?? tmpdir();
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

function run(command: readonly string[], settings: Record<string, string>): ChildProcess {
  const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
  return spawn(process.execPath, [program, ...command, '--log-level', 'error', ...overrides], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function startStore(directory: string, index: number): Promise<ChildProcess> {
  const address = join(directory, `${index}.address`);
  rmSync(address, { force: true });
  const child = run(['store', 'run'], {
    ...COMMON,
    'payload.store.listener': '127.0.0.1:0',
    'payload.store.dir': join(directory, `store-${index}`),
    'payload.store.address.file': address,
    'metrics.listener': '',
  });
  while (!existsSync(address)) {
    if (child.exitCode !== null) throw new Error(`the store ${index} has ended`);
    await setTimeout(50);
  }
  return child;
}

async function startGateway(directory: string): Promise<{ child: ChildProcess; direct: string }> {
  const [plain, direct, metrics] = [await freePort(), await freePort(), await freePort()];
  const addresses = Array.from({ length: STORES }, (_, i) =>
    readFileSync(join(directory, `${i}.address`), 'utf8').trim(),
  );
  const child = run(['start'], {
    ...COMMON,
    listeners: `PLAINTEXT://127.0.0.1:${plain},DIRECT://127.0.0.1:${direct}`,
    'metrics.listener': `http://127.0.0.1:${metrics}`,
    'log.dirs': join(directory, 'data'),
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

/** Records of 1 MiB, acknowledged by as many stores as the topic asks for; GB/s. */
async function produce(client: Client, replicas: number): Promise<number> {
  const topic = await topicOf(client, replicas);
  const producer = topic.producer();
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
  await producer.close();
  await client.deleteTopic(topic.name);
  return rate;
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
mkdirSync(join(directory, 'data'));
const children: ChildProcess[] = [];

/** Fresh processes: a store that was killed has another port when it comes back. */
async function withGateway<T>(work: (client: Client, stores: ChildProcess[]) => Promise<T>): Promise<T> {
  const stores: ChildProcess[] = [];
  for (let i = 0; i < STORES; i++) stores.push(await startStore(directory, i));
  children.push(...stores);
  const { child, direct } = await startGateway(directory);
  children.push(child);
  const client = await Client.connect({ bootstrap: direct });
  try {
    return await work(client, stores);
  } finally {
    client.close();
    await end(child);
    for (const store of stores) await end(store);
  }
}

try {
  console.log('copies | GB/s, median of the rounds');
  const rates = new Map<number, number[]>();
  await withGateway(async (client) => {
    for (let round = 0; round < rounds; round++)
      for (let replicas = 1; replicas <= STORES; replicas++) {
        const found = rates.get(replicas) ?? [];
        found.push(await produce(client, replicas));
        rates.set(replicas, found);
      }
  });
  for (const [replicas, found] of rates) console.log(`${replicas} | ${median(found).toFixed(2)}`);
  console.log('a store | longest time between two records before it, and from then on, ms, medians');
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const found: { before: number; after: number }[] = [];
    for (let round = 0; round < Math.min(rounds, 3); round++)
      found.push(await withGateway((client, stores) => failOver(client, stores, signal)));
    const of = (value: (one: (typeof found)[number]) => number) => median(found.map(value)).toFixed(0);
    console.log(`${signal} | ${of(({ before }) => before)} | ${of(({ after }) => after)}`);
  }
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
}
