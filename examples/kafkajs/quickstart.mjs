// A plain kafkajs client: small records and a 4 MB record through the gateway, compared byte for byte.
//   npm install && node quickstart.mjs [bootstrap]
import { createHash, randomBytes } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';

const bootstrap = process.argv[2] ?? '127.0.0.1:9092';
const kafka = new Kafka({ clientId: 'quickstart', brokers: [bootstrap], logLevel: logLevel.ERROR });
const topic = `quickstart-${Date.now()}`;
const digest = (value) => createHash('sha256').update(value).digest('hex').slice(0, 12);

const admin = kafka.admin();
await admin.connect();
await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] });
await admin.disconnect();

const values = [Buffer.from('hello'), randomBytes(1_000), randomBytes(4_000_000)];
const producer = kafka.producer({ allowAutoTopicCreation: false });
await producer.connect();
for (const [i, value] of values.entries()) {
  await producer.send({ topic, messages: [{ key: String(i), value, headers: { sha: digest(value) } }] });
  console.log(`produced ${value.length} bytes  ${digest(value)}`);
}
await producer.disconnect();

const consumer = kafka.consumer({ groupId: topic, maxBytesPerPartition: 8_000_000 });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
let seen = 0;
let damaged = 0;
await new Promise((done, fail) => {
  setTimeout(() => fail(new Error(`only ${seen} of ${values.length} records came back`)), 30_000).unref();
  consumer
    .run({
      eachMessage: async ({ partition, message }) => {
        const same = digest(message.value) === String(message.headers.sha);
        if (!same) damaged++;
        console.log(
          `consumed ${message.value.length} bytes  ${digest(message.value)}  partition ${partition} offset ${message.offset}`,
        );
        if (++seen === values.length) done();
      },
    })
    .catch(fail);
});
await consumer.disconnect();
if (damaged > 0) throw new Error(`${damaged} records came back changed`);
console.log('every record came back as it was sent');
