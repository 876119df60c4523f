import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { suites } from '../harness/paths.ts';
import { Apicurio } from './apicurio.ts';
import { javaProgram, output, pythonProgram } from './programs.ts';

const patienceMs = 120_000;
const count = 20;
const schema = {
  type: 'record',
  name: 'Event',
  namespace: 'kafabric',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'number', type: 'long' },
    { name: 'blob', type: 'bytes' },
  ],
};
const newer = {
  ...schema,
  fields: [...schema.fields, { name: 'note', type: 'string', default: '' }],
};

const clients: Record<string, string[]> = {
  java: javaProgram('avro', 'AvroCheck', 128),
  python: pythonProgram('avro_check.py'),
  node: [process.execPath, join(suites, 'ecosystem/node/avro-check.mjs')],
};
const names = Object.keys(clients);
const topicOf = (name: string) => `avro-${name}`;

/** The same as the programs write and say. */
function expected(): string[] {
  return Array.from({ length: count }, (_, number) => {
    const size = number % 10 === 9 ? 100_000 : number;
    const blob = Buffer.from(Array.from({ length: size }, (_, i) => (number + i) % 251));
    return `event ${number} ${number} ${createHash('sha256').update(blob).digest('hex').slice(0, 16)}`;
  });
}

/** Apicurio Registry with its state in our topics (kafkasql), and Avro of three languages by its schemas. */
describe('Apicurio Registry', function () {
  this.timeout(600_000);
  let broker: Broker;
  let registry: Apicurio;

  before(async function () {
    for (const toolchain of ['apicurio', 'ecosystem-python', 'ecosystem-node', 'avro'])
      requireToolchain(this, toolchain);
    broker = await startBroker();
    registry = await Apicurio.make(broker.bootstrap);
    await registry.start();
  });

  after(async () => {
    await registry?.kill('SIGKILL');
    await broker?.stop();
  });

  function run(name: string, mode: string, topics: string[]): Promise<string> {
    const args = [mode, broker.bootstrap, registry.url, JSON.stringify(schema), `${count}`, ...topics];
    return output([...clients[name]!, ...args]);
  }

  /** A new process knows no schema: it has to ask the registry. */
  async function readsAll(name: string): Promise<void> {
    const said = await run(name, 'read', names.map(topicOf));
    const found = JSON.parse(said.match(/^RESULT (.*)$/m)![1]!) as Record<string, string[]>;
    for (const topic of names.map(topicOf))
      assert.deepEqual(found[topic]?.sort(), expected().sort(), `${topic}, read by ${name}`);
  }

  it('each client reads what each has written', async () => {
    for (const name of names) await run(name, 'write', [topicOf(name)]);
    for (const name of names) await readsAll(name);
  });

  it('it has all its schemas again after a restart, also what was deleted is', async () => {
    const subject = `${topicOf('node')}-value`;
    const body = { schema: JSON.stringify(newer) };
    await registry.ask('POST', `/subjects/${subject}/versions`, body);
    await registry.ask('POST', '/subjects/short-lived/versions', body);
    await registry.ask('DELETE', '/subjects/short-lived');
    const before = await registry.everything();
    assert.equal(before.length, names.length + 1);
    await registry.kill('SIGTERM');
    await registry.start();
    assert.deepEqual(await registry.everything(), before);
    for (const name of names) await readsAll(name);
  });

  it('it works on when the gateway is killed under it, and has that too after a restart', async () => {
    await broker.kill('SIGKILL');
    await broker.start();
    const body = { schema: JSON.stringify(schema) };
    // It may be refused while the registry connects again.
    await until('a schema is taken', patienceMs, async () => {
      return (await registry.ask('POST', '/subjects/later/versions', body)) !== null;
    });
    const before = await registry.everything();
    assert.equal(before.length, names.length + 2);
    await registry.kill('SIGKILL');
    await registry.start();
    assert.deepEqual(await registry.everything(), before);
    await readsAll('python');
  });
});
