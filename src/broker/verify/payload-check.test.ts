import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { Store } from '../../native/store.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { inNativeMemory, TestBroker, topicConfig } from '../partitions/testing.ts';
import { checkPayload, type PayloadReport } from './payload-check.ts';

const TOPICS = ['a', 'b'].map((name, i) => ({
  name,
  id: `AAAAAAAAAAAAAAAAAAAAB${'QA'[i]}`,
  partitions: [{ index: 0, leaderEpoch: 0 }],
}));
const CONFIG = topicConfig({ 'payload.min.bytes': '1000', 'payload.segment.bytes': '1048576' });
const VALUE_BYTES = 300_000;

describe('checkPayload', () => {
  let directory: string;
  let store: Store;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'verify-'));
    store = new Store({ threads: 1 });
    const broker = await TestBroker.start(directory, TOPICS, CONFIG);
    for (const { name } of TOPICS) {
      const partition = broker.partitions.find(name, 0)!;
      for (let i = 0; i < 5; i++) {
        const value = crypto.getRandomValues(new Uint8Array(60_000));
        const records = [
          { key: null, value: Buffer.concat(Array(VALUE_BYTES / value.length).fill(value)) },
          { key: null, value: null },
        ];
        const frame = inNativeMemory(buildBatch(records, { timestamp: BigInt(Date.now()) }));
        await partition.produce(frame.bytes(), frame, true);
        frame.release();
      }
      await partition.produce(buildBatch([{ key: null, value: Buffer.from('small') }], {}), null, true);
    }
    await broker.stop();
  });
  afterEach(async () => {
    await store.shutdown();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  const payloadOf = (topic: string) => join(directory, `${topic}-0`, 'payload');
  const files = (topic: string, suffix: string) =>
    readdirSync(payloadOf(topic))
      .filter((name) => name.endsWith(suffix))
      .sort()
      .map((name) => join(payloadOf(topic), name));

  function check(
    options: { repair?: boolean; readPayload?: boolean; topics?: string[] } = {},
  ): Promise<PayloadReport> {
    const { repair = false, readPayload = true, topics } = options;
    const chosen = topics ? new Set(topics) : null;
    return checkPayload({
      store,
      directories: [directory],
      tiers: [],
      openStores: null,
      topics: chosen,
      readPayload,
      repair,
    });
  }

  const kinds = ({ problems }: PayloadReport) =>
    problems.map(({ kind, topic, offset }) => [kind, topic, offset]);

  it('finds everything in order after a clean end, and leaves it so', async () => {
    const report = await check({ repair: true });
    assert.deepEqual(report.problems, []);
    assert.deepEqual(report.unclean, []);
    assert.equal(report.partitions, 2);
    assert.equal(report.extents, 10);
    assert.ok(report.payloadBytes > 10 * VALUE_BYTES);
    const broker = await TestBroker.start(directory, TOPICS, CONFIG);
    assert.ok((await broker.fetch('a', 0, 0n)).bytes.byteLength > 5 * VALUE_BYTES);
    await broker.stop();
  });

  it('names the record whose payload has a flipped byte, if it reads', async () => {
    const path = files('a', '.payload')[0]!;
    const bytes = readFileSync(path);
    bytes[VALUE_BYTES + 50_000]! ^= 1;
    writeFileSync(path, bytes);
    const report = await check();
    assert.deepEqual(kinds(report), [['damaged', 'a', '2']]);
    assert.equal(report.problems[0]!.file, path);
    assert.deepEqual((await check({ readPayload: false })).problems, []);
    assert.deepEqual((await check({ topics: ['b'] })).problems, []);
    await assert.rejects(check({ topics: ['a', 'typo'] }), /no topic typo in/);
  });

  it('names what lies behind the end of a file that became shorter, and files that are gone', async () => {
    const [first, second] = files('a', '.payload');
    truncateSync(first!, VALUE_BYTES);
    assert.deepEqual(kinds(await check()), [
      ['missing', 'a', '0'],
      ['missing', 'a', '2'],
      ['missing', 'a', '4'],
    ]);
    rmSync(second!);
    const report = await check({ repair: true });
    assert.deepEqual(kinds(report).at(-1), ['missing', 'a', '6']);
    assert.ok(report.problems.every(({ repaired }) => !repaired));
  });

  it('finds payload that no record refers to, and removes it when asked', async () => {
    const orphan = join(payloadOf('b'), '00000000000000000077.payload');
    writeFileSync(orphan, Buffer.alloc(5000));
    assert.deepEqual(kinds(await check()), [['orphan', 'b', null]]);
    assert.ok(existsSync(orphan));
    const report = await check({ repair: true });
    assert.deepEqual(
      report.problems.map(({ repaired }) => repaired),
      [true],
    );
    assert.ok(!existsSync(orphan));
    assert.deepEqual((await check()).problems, []);
  });

  it('removes no payload that a record may have been lost for', async () => {
    // A segment whose list says that live offsets are in it.
    const claimed = join(payloadOf('b'), '00000000000000000088');
    for (const suffix of ['.payload', '.extents']) copyFileSync(files('b', suffix)[0]!, claimed + suffix);
    const [claim] = (await check({ repair: true })).problems;
    assert.equal(claim!.kind, 'orphan');
    assert.match(claim!.detail, /not to be removed, for its list says that offsets 0 to 5/);
    // A log whose files are gone.
    rmSync(join(directory, 'a-0', '00000000000000000000.log'));
    const { problems } = await check({ repair: true, topics: ['a'] });
    assert.ok(problems.length > 0);
    for (const { detail, repaired } of problems) {
      assert.ok(!repaired);
      assert.match(detail, /no records right before offset 0/);
    }
    assert.equal(files('a', '.payload').length, 2);
  });

  it('finds lists of extents that contradict the log; a start makes them anew', async () => {
    const [damaged, foreign] = files('a', '.extents');
    const bytes = readFileSync(damaged!);
    writeFileSync(foreign!, bytes);
    bytes[30]! ^= 1;
    writeFileSync(damaged!, bytes);
    assert.deepEqual(kinds(await check()), [
      ['list', 'a', '0'],
      ['list', 'a', '6'],
    ]);
    await check({ repair: true });
    assert.deepEqual((await check()).problems, []);
    const broker = await TestBroker.start(directory, TOPICS, CONFIG);
    assert.ok((await broker.fetch('a', 0, 0n)).bytes.byteLength > 5 * VALUE_BYTES);
    await broker.stop();
    assert.equal(files('a', '.extents').length, files('a', '.payload').length);
  });

  it('says where a log is damaged, and takes nothing behind it for unreferenced', async () => {
    const log = join(directory, 'a-0', '00000000000000000000.log');
    const bytes = readFileSync(log);
    bytes[40]! ^= 1;
    writeFileSync(log, bytes);
    assert.deepEqual(kinds(await check({ repair: true })), [['log', 'a', null]]);
  });

  it('leaves the directories of a running gateway alone, and repairs nothing after a crash', async () => {
    const broker = await TestBroker.start(directory, TOPICS, CONFIG);
    await assert.rejects(check(), { code: 'EBUSY' });
    await broker.crash();
    assert.deepEqual((await check()).unclean, [directory]);
    await assert.rejects(check({ repair: true }), /start and stop it once/);
    await assert.rejects(
      checkPayload({
        store,
        directories: [join(directory, 'none')],
        tiers: [],
        openStores: null,
        topics: null,
        readPayload: true,
        repair: false,
      }),
      /none/,
    );
  });
});
