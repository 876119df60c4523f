// A client that moves data until it is killed. Arguments: address of a direct listener, options of the client as JSON, what, topic. It pushes or
// pulls without end; or orders once more what it did, stops before that can have been done, and says how that ended when it is continued.
import { Client, type DirectError } from '../../src/client/index.ts';
import { patient } from './fixture.ts';

/** More than a connection takes of a client before anybody reads it. */
const BYTES = 20_000_000;
const [, , bootstrap = '', options = '{}', what = '', name = ''] = process.argv;
const client = await Client.connect({ bootstrap, ...JSON.parse(options), ...patient });
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
  const moved = move().then(
    () => 'went on',
    ({ code }: DirectError) => `failed: ${code}`,
  );
  // What needs no answer is done by then, and so the order is given.
  setImmediate(() => process.kill(process.pid, 'SIGSTOP'));
  process.stdout.write(`${await moved}\n`);
  client.close();
} else {
  for (;;) await Promise.all([move(), move()]);
}
