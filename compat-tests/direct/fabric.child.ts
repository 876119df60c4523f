// A client that moves data over libfabric until it is killed. Arguments: address of a direct listener, provider, push or pull, topic.
import { Client } from '../../src/client/index.ts';

const [, , bootstrap = '', provider = '', what = '', name = ''] = process.argv;
const client = await Client.connect({ bootstrap, path: 'fabric', fabric: { provider, domain: 'lo' } });
const topic = await client.openTopic(name);
const memory = await client.allocate(20_000_000);

async function push(): Promise<void> {
  const producer = topic.producer({ maxInFlight: 2, batchSize: 1 });
  await producer.push({}, memory.bytes);
  process.stdout.write('at it\n');
  for (;;) await Promise.all([producer.push({}, memory.bytes), producer.push({}, memory.bytes)]);
}

async function pull(): Promise<void> {
  const consumer = topic.consumer();
  const event = (await consumer.pull({ timeoutMs: 60_000 }))!;
  const other = await client.allocate(20_000_000);
  await event.data('all', memory.bytes);
  process.stdout.write('at it\n');
  for (;;) await Promise.all([event.data('all', memory.bytes), event.data('all', other.bytes)]);
}

await (what === 'push' ? push() : pull());
