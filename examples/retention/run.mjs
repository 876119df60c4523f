// Old events go, with their data: node examples/retention/run.mjs
// A topic keeps so many bytes; what is older is deleted with its payload. A consumer from the beginning gets what is left, and the data of an
// event that it held on to is gone, which it is told.
import { Client } from 'kafabric/client';
import { withGateway } from '../gateway.mjs';

const EVENTS = 60;
const BYTES = 1_000_000;
/** In events: what the topic keeps, and what is deleted at once. */
const KEPT = 20;
const SEGMENT = 8;

/** The number of the first event that is there; of its data nothing is moved. */
async function oldestOf(topic) {
  const consumer = topic.consumer();
  const { metadata } = await consumer.pull();
  await consumer.close();
  return metadata.n;
}

await withGateway({ 'log.retention.check.interval.ms': '500' }, async ({ direct }) => {
  const client = await Client.connect({ bootstrap: direct });
  const topic = await client.createTopic('frames', {
    configs: {
      'retention.bytes': String(KEPT * BYTES),
      'payload.segment.bytes': String(SEGMENT * BYTES),
      'file.delete.delay.ms': '0',
    },
  });
  const producer = topic.producer();
  const frame = await client.allocate(BYTES);
  const push = async (n) => producer.push({ n }, frame.bytes.fill(n));

  await push(0);
  const early = topic.consumer();
  const first = await early.pull();
  console.log(`event 0 is there: ${(await first.data()).byteLength} bytes`);
  for (let n = 1; n < EVENTS; n++) await push(n);
  console.log(`${EVENTS} events pushed, the topic keeps about ${KEPT} MB of ${(EVENTS * BYTES) / 1e6}`);

  // Retention works every half second here.
  for (let gone = false; !gone; ) {
    gone = await first.data({ offset: 0, length: 1 }).then(
      () => false,
      ({ code }) => code === 'DELETED' || code === 'EXPIRED',
    );
    if (!gone) await new Promise((resolve) => setTimeout(resolve, 200));
  }
  console.log('event 0 is gone, and its data with it');
  await early.close();

  // Whole payload segments go: what is left is less than the limit and one of them.
  while (EVENTS - (await oldestOf(topic)) >= KEPT + SEGMENT)
    await new Promise((resolve) => setTimeout(resolve, 200));
  const late = topic.consumer({ select: 'all' });
  const oldest = await late.pull();
  console.log(`the oldest event that is left is ${oldest.metadata.n}`);
  let left = 1;
  for (let event = oldest; event.metadata.n < EVENTS - 1; left++) {
    event = await late.pull();
    if (event.selected.some((byte) => byte !== event.metadata.n)) throw new Error('damaged');
  }
  console.log(`${left} events are left, whole`);
  await late.close();
  await producer.close();
  frame.release();
  client.close();
});
