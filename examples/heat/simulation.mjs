// A heat equation on a square plate: pushes the field of every step, with metadata that says what is in it.
//   node examples/heat/simulation.mjs [host:port of the DIRECT listener] [steps] [cells per side]
import { Client } from 'kafabric/client';

const [bootstrap = '127.0.0.1:9094', steps = '50', side = '512'] = process.argv.slice(2);
const n = Number(side);
const fieldBytes = n * n * Float64Array.BYTES_PER_ELEMENT;
const client = await Client.connect({ bootstrap });
const topic = await client
  .createTopic('heat', {
    validator: { type: 'json-schema', schema: { type: 'object', required: ['step', 'side', 'max'] } },
  })
  .catch(() => client.openTopic('heat'));
const producer = topic.producer();

// Two fields in turn, in memory that the gateway reads itself.
const buffers = [await client.allocate(fieldBytes), await client.allocate(fieldBytes)];
const fields = buffers.map(({ bytes }) => new Float64Array(bytes.buffer, bytes.byteOffset, n * n));
for (let row = 0; row < n; row++)
  for (let column = 0; column < n; column++)
    fields[0][row * n + column] = Math.hypot(row - n / 2, column - n / 4) < n / 10 ? 100 : 0;
fields[1].set(fields[0]);

const pushed = [null, null];
for (let step = 0; step < Number(steps); step++) {
  const [now, next] = [fields[step % 2], fields[(step + 1) % 2]];
  let max = 0;
  for (let i = 0; i < now.length; i++) max = Math.max(max, now[i]);
  pushed[step % 2] = producer.push({ step, side: n, max }, now, { key: 'plate' });
  await pushed[(step + 1) % 2]; // the other field may be written again
  for (let row = 1; row < n - 1; row++) {
    for (let at = row * n + 1; at < row * n + n - 1; at++)
      next[at] = now[at] + 0.2 * (now[at - 1] + now[at + 1] + now[at - n] + now[at + n] - 4 * now[at]);
  }
}
await producer.close();
console.log(`${steps} steps of ${(fieldBytes / 1e6).toFixed(1)} MB pushed by ${producer.path}`);
for (const buffer of buffers) buffer.release();
client.close();
