// A client that holds memory of the gateway until it is killed. Arguments: address of a direct listener, topic.
import { Client } from '../../src/client/index.ts';

const [, , bootstrap = '', topic = ''] = process.argv;
const client = await Client.connect({ bootstrap, path: 'mapped' });
const buffer = await client.allocate(4 << 20);
buffer.bytes.fill(1);
const consumer = (await client.openTopic(topic)).consumer();
const event = (await consumer.pull({ timeoutMs: 60_000 }))!;
const view = await event.view();
process.stdout.write(`holding ${view.bytes.byteLength}\n`);
setInterval(() => {}, 1000);
