// Events by @kafkajs/confluent-schema-registry; see AvroCheck.java for the arguments.
import { createHash } from 'node:crypto';
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import kafkajs from 'kafkajs';

const DEADLINE_MS = 60_000;

const [mode, bootstrap, registryUrl, schema, count, ...topics] = process.argv.slice(2);
const registry = new SchemaRegistry({ host: `${registryUrl}/apis/ccompat/v7` });
const kafka = new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.WARN });

function blob(number) {
  return Buffer.from(
    Array.from({ length: number % 10 === 9 ? 100_000 : number }, (_, i) => (number + i) % 251),
  );
}

async function write(topic) {
  const { id } = await registry.register({ type: SchemaType.AVRO, schema }, { subject: `${topic}-value` });
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  for (let number = 0; number < Number(count); number++) {
    const value = await registry.encode(id, { name: `event ${number}`, number, blob: blob(number) });
    await producer.send({ topic, acks: -1, messages: [{ key: `${number}`, value }] });
  }
  await producer.disconnect();
}

async function read() {
  const consumer = kafka.consumer({ groupId: `avro-node-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  const found = Object.fromEntries(topics.map((topic) => [topic, []]));
  let missing = Number(count) * topics.length;
  await new Promise((done) => {
    setTimeout(done, DEADLINE_MS).unref();
    consumer.run({
      eachMessage: async ({ topic, message }) => {
        const event = await registry.decode(message.value);
        const digest = createHash('sha256').update(event.blob).digest('hex').slice(0, 16);
        found[topic].push(`${event.name} ${event.number} ${digest}`);
        if (--missing === 0) done();
      },
    });
  });
  await consumer.disconnect();
  console.log(`RESULT ${JSON.stringify(found)}`);
}

await (mode === 'write' ? write(topics[0]) : read());
