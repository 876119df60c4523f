// A word count with kafabric/streams, against a gateway that this starts and stops: node examples/streams/run.mjs
import { Admin, Consumer, Producer } from '@platformatic/kafka';
import { StreamsApp } from 'kafabric/streams';
import { withGateway } from '../gateway.mjs';
import { wordCount } from './word-count.mjs';

const lines = ['the quick brown fox', 'jumps over the lazy dog', 'the dog sleeps'];
const words = lines.join(' ').split(' ').length;

await withGateway({}, async ({ plain: bootstrap }) => {
  const base = { clientId: 'word-count-example', bootstrapBrokers: [bootstrap] };
  const admin = new Admin(base);
  await admin.createTopics({
    topics: ['lines', 'word-counts', 'word-counts-per-minute'],
    partitions: 2,
    replicas: 1,
  });
  await admin.close();

  const topology = wordCount();
  console.log(topology.describe());
  const app = new StreamsApp(topology, { applicationId: 'word-count', bootstrap });
  await app.start();

  const producer = new Producer(base);
  await producer.send({ messages: lines.map((line) => ({ topic: 'lines', value: Buffer.from(line) })) });
  await producer.close();

  // One result for every word that came.
  const consumer = new Consumer({ ...base, groupId: 'word-count-reader', maxWaitTime: 200 });
  const results = await consumer.consume({ topics: ['word-counts'], mode: 'earliest' });
  const counts = new Map();
  let seen = 0;
  for await (const { key, value } of results) {
    counts.set(key.toString(), JSON.parse(value.toString()));
    if (++seen === words) break;
  }
  await consumer.close(true);
  await app.close();
  for (const [word, count] of [...counts].sort(([, a], [, b]) => b - a)) console.log(`${count} ${word}`);
});
