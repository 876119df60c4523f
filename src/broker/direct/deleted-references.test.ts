import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PayloadFiles } from '../../backend/payload/ports.ts';
import { arenaStats } from '../../native/arena.ts';
import type { Store } from '../../native/store.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { MemoryBudget } from '../partitions/memory-budget.ts';
import { gather, TestBroker, topicConfig } from '../partitions/testing.ts';
import { DirectGets } from './direct-gets.ts';
import { LocalPayloads } from './payload-source.ts';
import { ReferenceKeys } from './reference-keys.ts';
import { signedReferences } from './references.fixture.ts';

const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAABQ';
const TOPIC = { name: 't', id: TOPIC_ID, partitions: [{ index: 0, leaderEpoch: 0 }] };
const WHO = 'User:ANONYMOUS';
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };
const VALUE_BYTES = 300_000;
/** So many values fill a payload segment of the least size. */
const SEGMENT_VALUES = 3;
const SEGMENT_BYTES = 1 << 20;

/** References that a client has kept, of records that compaction has taken out since. */
describe('references to what is gone', () => {
  let directory: string;
  let broker: TestBroker;
  let nowMs: number;
  const keys = new ReferenceKeys(60_000, systemClock);

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'deleted-references-'));
    nowMs = 1_700_000_000_000;
    await start();
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  async function start(wrap?: (store: Store) => PayloadFiles): Promise<void> {
    const config = topicConfig({
      'cleanup.policy': 'compact',
      'payload.min.bytes': '2000',
      'payload.segment.bytes': String(SEGMENT_BYTES),
      'segment.ms': '1000',
      'file.delete.delay.ms': '0',
      'message.timestamp.after.max.ms': '9223372036854775807',
    });
    broker = await TestBroker.start(directory, [TOPIC], config, wrap);
  }

  const partition = () => broker.partitions.find('t', 0)!;
  const dataOf = (fill: number) => Buffer.alloc(VALUE_BYTES, fill);

  async function produce(key: string, fill: number, bytes = VALUE_BYTES): Promise<void> {
    const value = dataOf(fill).subarray(0, bytes);
    const records = [{ key: Buffer.from(key), value, timestamp: BigInt(nowMs) }];
    await partition().produce(buildBatch(records), null, true);
  }

  /** One after the other, so that none of them shares another's fate. */
  async function get(references: readonly Uint8Array[]): Promise<{ errorCode: number; bytes: Buffer }[]> {
    const gets = new DirectGets({
      source: new LocalPayloads(broker.partitions),
      keys,
      limits: { maxRequestBytes: 1 << 20, maxRanges: 1000 },
      memory: new MemoryBudget(arenaStats, 0.75, systemClock),
      logger: silentLogger,
    });
    const room = { ended: false, acquire: () => undefined, release: () => undefined };
    const got: { errorCode: number; bytes: Buffer }[] = [];
    for (const reference of references) {
      const item = { reference, ranges: [], region: -1, targetOffset: 0 };
      const { items, data } = await gets.get([item], WHO, null, room);
      got.push({ errorCode: items[0]!.errorCode, bytes: await gather(data) });
    }
    return got;
  }

  it('say so, whether a part of a segment is gone or all of it, and others go on', async () => {
    // Of the first segment one extent stays, of the second none, of the third one.
    for (const key of ['kept', 'k', 'k', 'k', 'k', 'k', 'k', 'k', 'k']) await produce(key, key.length);
    nowMs += 2000;
    await produce('roll', 0, 10);
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const references = (await signedReferences(partition(), context)).slice(0, 9);
    await partition().log.compaction.run(broker.store, ROUND);
    const { payloads, metrics } = partition();
    for (let turn = 0; turn < 4000 && payloads.liveBytes > 3 * VALUE_BYTES; turn++)
      await new Promise((done) => setTimeout(done, 5));
    payloads.endSegment();
    await payloads.settled();
    const { bytes } = await payloads.clean(0.8);
    assert.ok(bytes > 0, 'a segment has holes');
    // Nothing of it is in memory any more.
    await broker.stop();
    await start();
    const got = await get(references);
    assert.deepEqual(
      got.map(({ errorCode }) => errorCode),
      [ErrorCode.NONE, ...new Array(7).fill(ErrorCode.OFFSET_OUT_OF_RANGE), ErrorCode.NONE],
    );
    assert.ok(got[0]!.bytes.equals(dataOf('kept'.length)));
    assert.ok(got[8]!.bytes.equals(dataOf(1)));
    assert.equal(metrics.payloadErrors, 0);
  });

  it('are errors of the disk when the log has the record still', async () => {
    for (let i = 0; i < SEGMENT_VALUES; i++) await produce(`k${i}`, i);
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const references = await signedReferences(partition(), context);
    await broker.stop();
    const payload = join(directory, 't-0', 'payload');
    for (const name of readdirSync(payload)) if (name.endsWith('.payload')) rmSync(join(payload, name));
    await start();
    const got = await get(references);
    assert.deepEqual(
      got.map(({ errorCode }) => errorCode),
      references.map(() => ErrorCode.KAFKA_STORAGE_ERROR),
    );
    assert.equal(partition().metrics.payloadErrors, references.length);
  });

  it('are errors of the disk when neither payload nor log can be read', async () => {
    await produce('k', 1);
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const references = await signedReferences(partition(), context);
    await broker.stop();
    await start();
    rmSync(join(directory, 't-0', 'payload'), { recursive: true });
    truncateSync(join(directory, 't-0', '00000000000000000000.log'));
    const [got] = await get(references);
    assert.equal(got!.errorCode, ErrorCode.KAFKA_STORAGE_ERROR);
    assert.equal(partition().metrics.payloadErrors, 1);
  });

  it('are of a topic that is gone when it is deleted while they are read', async () => {
    await produce('k', 1);
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const references = await signedReferences(partition(), context);
    await broker.stop();
    let opening = () => {};
    const isOpening = new Promise<void>((resolve) => {
      opening = resolve;
    });
    let letGo = () => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await start((store) => {
      const open: PayloadFiles['open'] = async (path, options) => {
        opening();
        await gate;
        return store.open(path, options);
      };
      return new Proxy(store, {
        get: (of, name) => (name === 'open' ? open : Reflect.get(of, name).bind(of)),
      });
    });
    const { metrics } = partition();
    const got = get(references);
    const fetched = broker.fetch('t', 0, 0n);
    await isOpening;
    await broker.partitions.topicDeleted(TOPIC);
    letGo();
    assert.equal((await got)[0]!.errorCode, ErrorCode.UNKNOWN_TOPIC_ID);
    await fetched;
    assert.equal(metrics.payloadErrors, 0);
  });
});
