import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type {
  Client,
  Consumer,
  DataSelectorSpec,
  Event,
  FormModule,
  TopicForm,
} from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { readMetric } from '../harness/metrics.ts';
import { gatewayProgram, root } from '../harness/paths.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const run = promisify(execFile);
const PULL = { timeoutMs: 20_000 };
const SIZE = 100_000;

/** As a file, since commands load it. */
const MODULE = `
export const validator = ({ unit }) => (metadata) => (metadata.unit === unit ? null : 'its unit is not ' + unit);
export const serializer = () => ({
  serialize: (metadata) => Buffer.from(metadata.unit + ' ' + metadata.t),
  deserialize: (bytes) => {
    const [unit, t] = Buffer.from(bytes).toString().split(' ');
    return { unit, t: Number(t) };
  },
});
export const partitionSelector = () => (metadata, key, partitions) => metadata.t % partitions;
export const dataSelector = ({ least }) => (metadata) => (metadata.t >= least ? { offset: 0, length: metadata.t } : 'none');
`;

describe('forms and selectors that are stored at the gateway', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let directory: string;

  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
    directory = mkdtempSync(join(tmpdir(), 'forms-'));
    writeFileSync(join(directory, 'acme.mjs'), MODULE);
  });
  after(async () => {
    client?.close();
    if (directory) rmSync(directory, { recursive: true });
    await gateway?.broker.stop();
  });

  const kafabric = async (...args: string[]) => {
    const all = [gatewayProgram, ...args, '--bootstrap', gateway.direct];
    return (await run(process.execPath, all, { cwd: directory })).stdout;
  };
  const json = async (...args: string[]) => JSON.parse(await kafabric(...args, '--json'));

  /** A topic with events of t = 0, 1, 2... */
  async function fill(name: string, events: number): Promise<void> {
    const topic = await client.createTopic(name, {
      partitions: 4,
      partitionSelector: { type: 'round-robin' },
    });
    const producer = topic.producer();
    for (let t = 0; t < events; t++) await producer.push({ t }, content(SIZE, t));
    await producer.close();
  }

  const tOf = ({ metadata }: Event) => (metadata as { t: number }).t;
  const lengths = (events: Event[]) =>
    new Map(events.map((event) => [tOf(event), event.selected?.byteLength ?? null]));

  async function pullAll(consumers: Consumer[], events: number): Promise<Event[]> {
    const found: Event[] = [];
    await Promise.all(
      consumers.map(async (consumer) => {
        while (found.length < events) {
          const event = await consumer.pull({ timeoutMs: 500 });
          if (event === null) continue;
          event.acknowledge();
          found.push(event);
        }
      }),
    );
    return found;
  }

  it('members of a group that say nothing themselves apply its selector', async () => {
    await fill('shared', 40);
    const selector: DataSelectorSpec = {
      rules: [
        { when: { t: { min: 30 } }, select: 'all' },
        { when: { t: [1, 2] }, select: [{ offset: 0, length: 10, count: 3, stride: 1000 }] },
      ],
    };
    assert.equal(await client.groups.dataSelector('readers'), null);
    await client.groups.setDataSelector('readers', selector);
    assert.deepEqual(await client.groups.dataSelector('readers'), selector);
    const other = await gateway.connect({ path: 'tcp' });
    const consumers = await Promise.all(
      [client, other].map((one) => one.consumer(['shared'], { groupId: 'readers', heartbeatMs: 200 })),
    );
    // Both are there before events are pulled.
    while (consumers.some(({ assignment }) => assignment.length !== 2))
      await Promise.all(consumers.map((one) => one.pull({ timeoutMs: 100 })));
    for (const one of consumers) await one.rewind();
    const found = lengths(await pullAll(consumers, 40));
    for (let t = 0; t < 40; t++)
      assert.equal(found.get(t), t >= 30 ? SIZE : t === 1 || t === 2 ? 30 : null, `event ${t}`);
    const own = await client.consumer(['shared'], { groupId: 'readers-2', select: 'none' });
    await client.groups.setDataSelector('readers-2', 'all');
    assert.equal((await own.pull(PULL))!.selected, null, 'its own selector counts');
    for (const one of [...consumers, own]) await one.close();
    other.close();
  });

  it('members that are at work notice a new selector with a heartbeat, and no more is asked than that', async () => {
    const topic = await client.createTopic('noticed');
    const producer = topic.producer();
    const own = await gateway.connect();
    const consumer = await own.consumer(['noticed'], { groupId: 'noticing', heartbeatMs: 100 });
    const push = (t: number) => producer.push({ t }, content(SIZE, t));
    const next = async () => (await consumer.pull(PULL))!.selected?.byteLength ?? null;
    /** Events that come until one has so many bytes of data. */
    const untilSelected = async (length: number | null) => {
      do await push(0);
      while ((await next()) !== length);
    };
    const asked = (api: string) =>
      readMetric(gateway.broker.metricsUrl!, `kafabric_requests_total{api="${api}",version="4"}`);
    await push(0);
    assert.equal(await next(), null);
    await client.groups.setDataSelector('noticing', { offset: 0, length: 9 });
    await untilSelected(9);
    await client.groups.setDataSelector('noticing', 'all');
    await untilSelected(SIZE);
    await client.groups.setDataSelector('noticing', null);
    await untilSelected(null);
    const [heartbeats, reads] = [await asked('Heartbeat'), await asked('DescribeConfigs')];
    await until('it has gone on', 20_000, async () => (await asked('Heartbeat')) >= heartbeats + 5);
    assert.ok((await asked('DescribeConfigs')) - reads <= (await asked('Heartbeat')) - heartbeats + 1);

    await client.groups.setDataSelector('noticing', { type: 'module', module: './unknown.mjs' });
    await assert.rejects(consumer.pull(PULL), { code: 'MODULE' });
    for (const one of [producer, consumer]) await one.close();
    own.close();
  });

  it('code that is asynchronous is refused with what to do, and no rejection of it is left to nobody', async () => {
    const later = (async () => Promise.reject(new Error('later'))) as never;
    const custom = {
      validators: { later },
      serializers: {
        writes: { serialize: later, deserialize: () => null },
        reads: { serialize: () => Buffer.from('{}'), deserialize: later },
      },
      partitionSelectors: { later },
    };
    const refused = { code: 'INVALID_ARGUMENT', message: /a promise; it has to return its result itself/ };
    const own = await gateway.connect({ custom });
    const forms: Partial<TopicForm>[] = [
      { validator: { type: 'custom', name: 'later' } },
      { serializer: { type: 'custom', name: 'writes' } },
      { partitionSelector: { type: 'custom', name: 'later' } },
    ];
    for (const [i, form] of forms.entries()) {
      const producer = (await own.createTopic(`asynchronous-${i}`, form)).producer();
      await assert.rejects(producer.push({ t: 1 }), refused);
      await producer.close();
    }
    const topics = await Promise.all([
      own.createTopic('asynchronous', { serializer: { type: 'custom', name: 'reads' } }),
      own.createTopic('synchronous'),
    ]);
    for (const topic of topics) {
      const producer = topic.producer();
      await producer.push({ t: 1 }, content(SIZE));
      await producer.close();
    }
    const reading = topics[0]!.consumer();
    const event = (await reading.pull(PULL))!;
    assert.throws(() => event.metadata, refused);
    const selecting = topics[1]!.consumer({ select: later });
    const placing = topics[1]!.consumer({ select: 'all', broker: later });
    for (const one of [selecting, placing]) await assert.rejects(one.pull(PULL), refused);
    for (const one of [reading, selecting, placing]) await one.close();
    const schema = { $async: true, type: 'object' };
    await assert.rejects(own.createTopic('async-schema', { validator: { type: 'json-schema', schema } }), {
      code: 'INVALID_ARGUMENT',
    });
    own.close();
  });

  it('a selector that is stored later is taken over with the next assignment', async () => {
    await fill('later', 8);
    const topic = await client.openTopic('later');
    const options = { groupId: 'late', commitEveryMs: 'manual' as const, heartbeatMs: 200 };
    const first = topic.consumer(options);
    assert.equal((await first.pull(PULL))!.selected, null);
    await client.groups.setDataSelector('late', { offset: 5, length: 7 });
    await first.close();
    const second = topic.consumer(options);
    for (const { selected } of await collect(8, () => second.pull(PULL)))
      assert.equal(selected!.byteLength, 7);
    await second.close();
  });

  it('what is no selector is refused by the library, the gateway and the command', async () => {
    const wrong = { rules: [{ select: 'most' }] } as unknown as DataSelectorSpec;
    await assert.rejects(client.groups.setDataSelector('g', wrong), {
      code: 'INVALID_ARGUMENT',
      message: /set the data selector of group g: rules\[0\]\.select is "most"/,
    });
    await assert.rejects(client.groups.setDataSelector('g', (() => 'all') as never), {
      code: 'INVALID_ARGUMENT',
      message: /a function cannot be stored/,
    });
    await assert.rejects(client.groups.alterConfigs('g', { 'direct.data.selector': '{' }), {
      broker: 'INVALID_CONFIG',
      message: /direct\.data\.selector: it is no JSON/,
    });
    await assert.rejects(kafabric('groups', 'selector', 'g', '{"otherwise": 3}'), /otherwise is 3/);
    await assert.rejects(
      kafabric('configs', 'set', 'g', 'direct.data.selector=all', '--group'),
      /it is no JSON/,
    );
    assert.equal(await client.groups.dataSelector('g'), null);
  });

  it('commands set and show it, and consume by it', async () => {
    await fill('commanded', 4);
    assert.deepEqual(await json('groups', 'selector', 'team'), { group: 'team', selector: null });
    const selector = { rules: [{ when: { t: 2 }, select: { offset: 0, length: 9 } }], otherwise: 'none' };
    assert.deepEqual(await json('groups', 'selector', 'team', JSON.stringify(selector)), {
      group: 'team',
      selector,
    });
    assert.deepEqual(JSON.parse(await kafabric('groups', 'selector', 'team')), selector);
    const rows = await json('configs', 'show', 'team', '--group');
    const value = (name: string) => rows.find(({ config }: { config: string }) => config === name)?.value;
    assert.deepEqual(JSON.parse(value('direct.data.selector')), selector);
    assert.equal(value('share.session.timeout.ms'), '45000');
    await json('configs', 'set', 'team', 'consumer.session.timeout.ms=50000', '--group');
    const lines = (await kafabric('consume', 'commanded', '--group', 'team', '--count', '4'))
      .trim()
      .split('\n');
    const selected = lines
      .map((line) => JSON.parse(line))
      .map(({ metadata, selected }) => [metadata.t, selected]);
    assert.deepEqual(
      selected.sort(([a], [b]) => a - b),
      [
        [0, 0],
        [1, 0],
        [2, 9],
        [3, 0],
      ],
    );
    assert.match(await kafabric('groups', 'selector', 'team', '--clear'), /none is stored/);
  });

  describe('in a module', () => {
    const spec = { type: 'module', module: './acme.mjs' } as const;
    const form = {
      validator: { ...spec, options: { unit: 'K' } },
      serializer: spec,
      partitionSelector: spec,
    };
    let acme: FormModule;

    before(async () => {
      acme = (await import(join(directory, 'acme.mjs'))) as FormModule;
    });

    it('are applied by every client that allows it', async () => {
      const asked = new Set<string>();
      const modules = (specifier: string) => {
        asked.add(specifier);
        return acme;
      };
      const producing = await gateway.connect({ modules });
      const topic = await producing.createTopic('module', { partitions: 3, ...form });
      const producer = topic.producer();
      await assert.rejects(producer.push({ unit: 'F', t: 1 }), {
        code: 'INVALID_METADATA',
        message: /its unit is not K/,
      });
      for (let t = 300; t < 306; t++)
        assert.equal((await producer.push({ unit: 'K', t }, content(SIZE, t))).partition, t % 3);
      await producer.close();
      const reading = await gateway.connect({ modules: { './acme.mjs': () => acme } });
      await reading.groups.setDataSelector('lab', { ...spec, options: { least: 303 } });
      const consumer = await reading.consumer(['module'], { groupId: 'lab' });
      const events = await collect(6, () => consumer.pull(PULL));
      for (const event of events) {
        const t = tOf(event);
        assert.deepEqual(event.metadata, { unit: 'K', t });
        assert.equal(event.selected?.byteLength ?? null, t >= 303 ? t : null);
      }
      assert.deepEqual([...asked], ['./acme.mjs']);
      await consumer.close();
      for (const one of [producing, reading]) one.close();
    });

    it('are refused where they are not allowed, and nothing is made', async () => {
      await assert.rejects(client.createTopic('never', form), {
        code: 'MODULE',
        message: /the validator is in the module "\.\/acme\.mjs", which this client does not allow/,
      });
      await assert.rejects(client.openTopic('never'), { broker: 'UNKNOWN_TOPIC_OR_PARTITION' });
      await client.defineTopic('foreign', form);
      await assert.rejects(client.openTopic('foreign'), { code: 'MODULE' });
      await fill('native', 1);
      await client.groups.setDataSelector('foreign', spec);
      const consumer = await client.consumer(['native'], { groupId: 'foreign' });
      await assert.rejects(consumer.pull(PULL), { code: 'MODULE' });
      await consumer.close();
    });

    it('are loaded by commands that are told to', async () => {
      const configs = Object.entries({ validator: form.validator, serializer: form.serializer });
      const set = configs.flatMap(([part, value]) => ['--set', `direct.${part}=${JSON.stringify(value)}`]);
      const created = await json('topics', 'create', 'by-command', ...set);
      assert.equal(created.partitions, 1);
      const produce = ['produce', 'by-command', '--metadata', '{"unit":"K","t":5}'];
      await assert.rejects(kafabric(...produce), /which this client does not allow/);
      await kafabric(...produce, '--module', './acme.mjs');
      const line = await kafabric('consume', 'by-command', '--count', '1', '--module', './acme.mjs');
      assert.deepEqual(JSON.parse(line).metadata, { unit: 'K', t: 5 });
    });

    it('are packages that can only be imported', async () => {
      const folder = join(directory, 'node_modules/acme-forms');
      mkdirSync(folder, { recursive: true });
      const exported = { name: 'acme-forms', type: 'module', exports: { '.': { import: './forms.js' } } };
      writeFileSync(join(folder, 'package.json'), JSON.stringify(exported));
      writeFileSync(join(folder, 'forms.js'), MODULE);
      const serializer = JSON.stringify({ type: 'module', module: 'acme-forms' });
      await kafabric('topics', 'create', 'by-package', '--set', `direct.serializer=${serializer}`);
      const allowed = ['--module', 'acme-forms'];
      await kafabric('produce', 'by-package', '--metadata', '{"unit":"K","t":5}', ...allowed);
      const line = await kafabric('consume', 'by-package', '--count', '1', ...allowed);
      assert.deepEqual(JSON.parse(line).metadata, { unit: 'K', t: 5 });
    });
  });

  it('versions of a schema are added one after the other, whoever adds them', async () => {
    const version = (...names: string[]) => ({
      type: 'record',
      name: 'Step',
      fields: names.map((name) => ({ name, type: 'int', default: 0 })),
    });
    const first = await client.createTopic('versions', {
      serializer: { type: 'avro', schemas: [version('a')] },
    });
    const second = await client.openTopic('versions');
    await first.producer().push({ a: 1 });
    await first.evolve(version('a', 'b'));
    await (await client.openTopic('versions')).producer().push({ a: 2, b: 2 });
    // It was opened before the version above.
    await second.evolve(version('a', 'b', 'c'));
    const newest = await client.openTopic('versions');
    assert.equal(newest.form.serializer.type === 'avro' && newest.form.serializer.schemas.length, 3);
    await newest.producer().push({ a: 3, b: 3, c: 3 });
    const consumer = newest.consumer();
    const seen = await collect(3, () => consumer.pull(PULL));
    assert.deepEqual(
      seen.map(({ metadata }) => ({ ...(metadata as object) })),
      [
        { a: 1, b: 0, c: 0 },
        { a: 2, b: 2, c: 0 },
        { a: 3, b: 3, c: 3 },
      ],
    );
    await consumer.close();
  });

  it('several may add versions at the same time, and none is lost', async () => {
    const field = (name: string, type = 'int') => ({ name, type, default: type === 'int' ? 0 : '' });
    const record = (...fields: object[]) => ({ type: 'record', name: 'Step', fields });
    const name = 'raced';
    await client.createTopic(name, { serializer: { type: 'avro', schemas: [record(field('a'))] } });
    const program = `
      import { Client } from 'kafabric/client';
      const client = await Client.connect({ bootstrap: process.argv[1] });
      const topic = await client.openTopic('${name}');
      for (const schema of JSON.parse(process.argv[2])) await topic.evolve(schema);
      client.close();`;
    const PROCESSES = 4;
    const VERSIONS = 5;
    const args = ['--input-type=module', '--eval', program, gateway.direct];
    await Promise.all(
      Array.from({ length: PROCESSES }, async (_, p) => {
        const schemas = Array.from({ length: VERSIONS }, (_, v) => record(field('a'), field(`p${p}v${v}`)));
        await run(process.execPath, [...args, JSON.stringify(schemas)], { cwd: root });
      }),
    );
    const { serializer } = (await client.openTopic(name)).form;
    assert.ok(serializer.type === 'avro');
    const added = serializer.schemas.map(
      (schema) => (schema as { fields: { name: string }[] }).fields[1]?.name,
    );
    for (let p = 0; p < PROCESSES; p++)
      assert.deepEqual(
        added.filter((one) => one?.startsWith(`p${p}`)),
        Array.from({ length: VERSIONS }, (_, v) => `p${p}v${v}`),
      );
    assert.equal(added.length, 1 + PROCESSES * VERSIONS);

    // Two versions that cannot follow each other: the second is refused, not written over the first.
    const two = await Promise.all([client, await gateway.connect()].map((one) => one.openTopic(name)));
    const outcomes = await Promise.allSettled(
      ['int', 'string'].map((type, i) => two[i]!.evolve(record(field('a'), field('z', type)))),
    );
    const refused = outcomes.filter((one) => one.status === 'rejected');
    assert.equal(refused.length, 1);
    assert.equal(refused[0]!.reason.code, 'INVALID_ARGUMENT');
    assert.match(refused[0]!.reason.message, /older events could not be read/);

    await two[0]!.evolve(record(field('a')));
    await two[1]!.evolve(record(field('a')));
    const now = (await client.openTopic(name)).form.serializer;
    assert.equal(
      now.type === 'avro' && now.schemas.length,
      added.length + 2,
      'the newest is not added again',
    );
    await assert.rejects(client.alterTopicConfigs(name, { 'direct.serializer': '{"type":"json"}' }), {
      code: 'CONFLICT',
      broker: 'INVALID_UPDATE_VERSION',
    });
    await assert.rejects(
      kafabric('configs', 'set', name, 'direct.serializer={"type":"json"}'),
      /delete the config first/,
    );
  });
});
