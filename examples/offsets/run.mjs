// Where consumers go on: node examples/offsets/run.mjs
// A group's acknowledged offsets are kept by the gateway. A consumer that vanishes loses what it had not committed, the next one goes on from
// there; offsets can be moved back, and a reader without a group begins where it likes.
import { Client } from 'kafabric/client';
import { withGateway } from '../gateway.mjs';

const EVENTS = 30;

async function take(consumer, count) {
  const numbers = [];
  for (let i = 0; i < count; i++) {
    const event = await consumer.pull({ timeoutMs: 30_000 });
    event.acknowledge();
    numbers.push(event.metadata.n);
  }
  return numbers;
}

const span = (numbers) => `${numbers[0]} to ${numbers.at(-1)}`;

await withGateway({ 'group.min.session.timeout.ms': '1000' }, async ({ direct }) => {
  const client = await Client.connect({ bootstrap: direct });
  const topic = await client.createTopic('measurements');
  const producer = topic.producer();
  const begin = Date.now();
  for (let n = 0; n < EVENTS; n++)
    await producer.push({ n }, new Float64Array(1000).fill(n), { timestamp: begin + n * 1000 });

  const options = { groupId: 'analysis', commitEveryMs: 'manual', sessionTimeoutMs: 3000, heartbeatMs: 300 };
  // On a connection of its own, so that it can vanish.
  const doomed = await Client.connect({ bootstrap: direct });
  const first = (await doomed.openTopic('measurements')).consumer(options);
  console.log(`the first consumer takes ${span(await take(first, 10))} and commits`);
  await first.commit();
  console.log(`then ${span(await take(first, 5))}, and vanishes before it commits`);
  doomed.close();

  const second = topic.consumer(options);
  console.log(`the second goes on with ${span(await take(second, 15))}`);
  await second.close();
  const { partitions } = await client.groups.describe('analysis');
  console.log(`the group is ${partitions[0].lag} behind`);

  const plan = await client.groups.planOffsets('analysis', { timestamp: begin + 5000 });
  await client.groups.setOffsets(
    'analysis',
    plan.map(({ topic: name, partition, after }) => ({ topic: name, partition, offset: after })),
  );
  const third = topic.consumer(options);
  console.log(`moved back in time, it takes ${span(await take(third, 5))} again`);
  await third.close();

  const reader = topic.consumer({ from: { offset: 28n } });
  console.log(`a reader without a group begins where it likes: ${span(await take(reader, 2))}`);
  await reader.close();
  await producer.close();
  client.close();
});
