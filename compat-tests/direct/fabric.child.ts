// A client that moves data over libfabric until it is killed. Arguments: address of a direct listener, provider, domain, what, topic, file of
// libfabric if not the installed one. It pushes or pulls without end; or orders once more what it did, and stops before that can have been done.
import { Client } from '../../src/client/index.ts';
import { patient } from './fixture.ts';

const BYTES = 20_000_000;
const [, , bootstrap = '', provider = '', domain = '', what = '', name = '', library = ''] = process.argv;
const fabric = { provider, domain, library };
const client = await Client.connect({ bootstrap, path: 'fabric', fabric, ...patient });
const topic = await client.openTopic(name);
const memory = await client.allocate(BYTES);
const producer = topic.producer({ maxInFlight: 2, batchSize: 1 });

async function mover(): Promise<() => Promise<unknown>> {
  if (what.startsWith('push')) {
    memory.bytes.fill(3);
    return () => producer.push({ of: 'child' }, memory.bytes);
  }
  const event = (await topic.consumer().pull({ timeoutMs: 60_000 }))!;
  return () => event.data('all', memory.bytes);
}

const move = await mover();
await move();
process.stdout.write('at it\n');
if (what.endsWith('-and-stop')) {
  void move();
  // What needs no answer is done by then, and so the order is given.
  setImmediate(() => process.kill(process.pid, 'SIGSTOP'));
} else {
  for (;;) await Promise.all([move(), move()]);
}
