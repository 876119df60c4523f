// A word count with kafabric/streams, against a gateway that this starts and stops: node examples/streams/run.mjs
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Admin, Consumer, Producer } from '@platformatic/kafka';
import { StreamsApp } from 'kafabric/streams';
import { wordCount } from './word-count.mjs';

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
const [port, metrics] = [await freePort(), await freePort()];
const bootstrap = `127.0.0.1:${port}`;
const directory = mkdtempSync(join(tmpdir(), 'kafabric-word-count-'));
const settings = {
  listeners: `PLAINTEXT://${bootstrap}`,
  'metrics.listener': `http://127.0.0.1:${metrics}`,
  'log.dirs': join(directory, 'data'),
  'arena.bytes': '268435456',
};
const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
const program = fileURLToPath(new URL('../../dist/kafabric/main.js', import.meta.url));
const gateway = spawn(process.execPath, [program, 'start', '--log-level', 'warn', ...overrides], {
  stdio: ['ignore', 'inherit', 'inherit'],
});

const lines = ['the quick brown fox', 'jumps over the lazy dog', 'the dog sleeps'];
const words = lines.join(' ').split(' ').length;

try {
  for (let ready = false; !ready; ) {
    if (gateway.exitCode !== null) throw new Error('the gateway did not start');
    ready = await fetch(`http://127.0.0.1:${metrics}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (!ready) await new Promise((resolve) => setTimeout(resolve, 100));
  }
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
} finally {
  const ended = new Promise((resolve) => gateway.once('exit', resolve));
  gateway.kill();
  if (gateway.exitCode === null) await ended;
  rmSync(directory, { recursive: true, force: true });
}
