// A dashboard of the heat simulation by a plain kafkajs client, which knows nothing of the direct API: the metadata of an event is a header of an
// ordinary record. At the DIRECT listener a field is a reference of 144 bytes, so that watching costs next to nothing; at a listener for
// Kafka clients it is the field itself.
//   npm install && node dashboard.mjs [bootstrap] [steps]
import { Kafka, logLevel } from 'kafkajs';

const [bootstrap = '127.0.0.1:9094', steps = '50'] = process.argv.slice(2);
const WIDTH = 50;
const kafka = new Kafka({ clientId: 'dashboard', brokers: [bootstrap], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `dashboard-${process.pid}`, maxBytesPerPartition: 64_000_000 });
await consumer.connect();
await consumer.subscribe({ topic: 'heat', fromBeginning: true });

let seen = 0;
let bytes = 0;
let hottest = 0;
await new Promise((done, fail) => {
  setTimeout(() => fail(new Error(`only ${seen} of ${steps} steps came in 30 s`)), 30_000).unref();
  consumer
    .run({
      eachMessage: async ({ message }) => {
        const { step, max } = JSON.parse(message.headers['kafabric-metadata']);
        hottest = Math.max(hottest, max);
        bytes += message.value.length;
        const bar = '#'.repeat(Math.round((max / hottest) * WIDTH)).padEnd(WIDTH);
        console.log(`step ${String(step).padStart(4)} |${bar}| ${max.toFixed(1)}`);
        if (++seen === Number(steps)) done();
      },
    })
    .catch(fail);
});
await consumer.disconnect();
console.log(`${seen} steps watched, ${bytes} bytes of values received`);
