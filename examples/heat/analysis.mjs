// Follows the temperature of one column of the plate: of each tenth step it pulls every n-th value, and nothing of the others.
//   node examples/heat/analysis.mjs [host:port of the DIRECT listener] [steps]
import { Client, strided } from 'kafabric/client';

const [bootstrap = '127.0.0.1:9094', steps = '50'] = process.argv.slice(2);
const VALUE = Float64Array.BYTES_PER_ELEMENT;
const client = await Client.connect({ bootstrap });
const topic = await client.openTopic('heat');
const consumer = topic.consumer({
  select: ({ step, side }) =>
    step % 10 === 0 ? strided(Math.floor(side / 4) * VALUE, side, VALUE, side * VALUE) : 'none',
});
let moved = 0;
let whole = 0;
for (let seen = 0; seen < Number(steps); seen++) {
  const event = await consumer.pull({ timeoutMs: 30_000 });
  if (event === null) throw new Error('no event came in 30 s: is the simulation running?');
  whole += event.descriptor.size;
  if (event.selected === null) continue;
  moved += event.selected.byteLength;
  const { buffer, byteOffset, byteLength } = event.selected;
  const column = new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const mean = column.reduce((sum, value) => sum + value, 0) / column.length;
  console.log(
    `step ${event.metadata.step}: hottest ${event.metadata.max.toFixed(1)}, column mean ${mean.toFixed(3)}`,
  );
}
console.log(`${moved} of ${whole} bytes were moved`);
await consumer.close();
client.close();
