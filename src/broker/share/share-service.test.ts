import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../config/index.ts';
import { arenaStats } from '../../native/arena.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { Attribute } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { SHARE_STATE_TOPIC } from '../metadata/topic-name.ts';
import { FetchService } from '../partitions/fetch-service.ts';
import { MemoryBudget } from '../partitions/memory-budget.ts';
import { gather, TestBroker, topicConfig } from '../partitions/testing.ts';
import { markerBatch } from '../transaction-marker.ts';
import type { FetchedShare, ShareFetchCall } from './share-service.ts';
import { openSharing, type Sharing } from './sharing.ts';

const JOBS = {
  name: 'jobs',
  id: 'AAAAAAAAAAAAAAAAAAAABQ',
  partitions: [0, 1].map((index) => ({ index, leaderEpoch: 0 })),
};
const STATE = {
  name: SHARE_STATE_TOPIC,
  id: 'AAAAAAAAAAAAAAAAAAAABg',
  partitions: [{ index: 0, leaderEpoch: 0 }],
};
const KEY = { groupId: 'group', topicId: JOBS.id, partition: 0 };
const HERE = { topicId: JOBS.id, partition: 0 };
const THERE = { ...HERE, partition: 1 };
const ACCEPT = 1;
const RELEASE = 2;
const RENEW = 4;

describe('share sessions, fetches and acknowledgements', () => {
  let directory: string;
  let broker: TestBroker;
  let sharing: Sharing;
  let groupConfigs: Map<string, string>;
  let connection: AbortController;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'share-'));
    groupConfigs = new Map([['share.auto.offset.reset', 'earliest']]);
    connection = new AbortController();
    broker = await TestBroker.start(directory, [JOBS, STATE], topicConfig({ 'payload.min.bytes': '1000' }));
    sharing = open();
    await sharing.states.start();
    await sharing.states.initialize(KEY, 1, -1n);
  });
  afterEach(async () => {
    sharing.close();
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  function open(fetches = broker.fetches): Sharing {
    const environment = { environment: {}, host: { isRoot: false, homeDirectory: '/nowhere' } };
    return openSharing({
      config: loadConfig({
        ...environment,
        overrides: ['log.dirs=/nowhere', 'group.share.max.share.sessions=2'],
      }),
      clock: systemClock,
      logger: silentLogger,
      partitions: broker.partitions,
      fetches,
      topic: {
        name: SHARE_STATE_TOPIC,
        partitionCount: () => 1,
        isOffline: () => false,
        ensure: async () => 1,
      },
      groupConfigs: () => groupConfigs,
    });
  }

  async function transaction(
    value: string,
    producerId: bigint,
    commit: boolean,
    recordCount = 1,
  ): Promise<void> {
    const partition = broker.partitions.find('jobs', 0)!;
    const options = { producerId, producerEpoch: 0, baseSequence: 0, attributes: Attribute.transactional };
    const records = Array.from({ length: recordCount }, () => ({ key: null, value: Buffer.from(value) }));
    const batch = buildBatch(records, {
      timestamp: BigInt(Date.now()),
      ...options,
    });
    await partition.produce(batch, null, true, true);
    const marker = { producerId, producerEpoch: 0, coordinatorEpoch: 0, commit };
    await partition.appendAsCoordinator(markerBatch(marker, Date.now()));
  }

  /** One batch in each partition; both have a state. */
  async function produceInBoth(value: string): Promise<void> {
    await sharing.states.initialize({ groupId: 'group', ...THERE }, 1, -1n);
    for (const index of [0, 1]) {
      const batch = buildBatch([{ key: null, value: Buffer.from(value) }], { timestamp: 0n });
      await broker.partitions.find('jobs', index)!.produce(batch, null, true);
    }
  }

  async function produce(...values: string[]): Promise<void> {
    const records = values.map((value) => ({ key: null, value: Buffer.from(value) }));
    const batch = buildBatch(records, { timestamp: BigInt(Date.now()) });
    await broker.partitions.find('jobs', 0)!.produce(batch, null, true);
  }

  function call(sessionEpoch: number, more: Partial<ShareFetchCall> = {}): ShareFetchCall {
    return {
      ...{ groupId: 'group', memberId: 'a', sessionEpoch, closed: connection.signal, isRenewal: false },
      ...{ maxWaitMs: 0, minBytes: 1, maxBytes: 1 << 26, maxRecords: 500, isStrict: false },
      ...{ added: sessionEpoch === 0 ? [HERE] : [], forgotten: [], acknowledgements: [] },
      ...more,
    };
  }

  async function fetch(sessionEpoch: number, more: Partial<ShareFetchCall> = {}): Promise<FetchedShare[]> {
    const fetched = await sharing.service.fetch(call(sessionEpoch, more));
    assert.ok(typeof fetched !== 'number', `ShareFetch answers ${fetched}`);
    return fetched;
  }

  function acknowledgement(firstOffset: bigint, lastOffset: bigint, type: number) {
    return { ...HERE, batches: [{ firstOffset, lastOffset, acknowledgeTypes: [type] }] };
  }

  /** The values of what was acquired, and where. */
  async function read(fetched: readonly FetchedShare[]) {
    const values: string[] = [];
    for (const { records } of fetched) {
      const bytes = await gather(records);
      for (let at = 0; at < bytes.byteLength; ) {
        const size = 12 + bytes.readInt32BE(at + 8);
        for (const { value } of readRecords(bytes.subarray(at, at + size), () => assert.fail('compressed')))
          values.push(Buffer.from(value!).toString().slice(0, 12));
        at += size;
      }
    }
    const acquired = fetched.flatMap((each) =>
      each.acquired.map(
        ({ firstOffset, lastOffset, deliveryCount }) => `${firstOffset}-${lastOffset}:${deliveryCount}`,
      ),
    );
    return { values, acquired };
  }

  it('gives each record to one member until it is acknowledged', async () => {
    await produce('a', 'b', 'c');
    assert.deepEqual(await read(await fetch(0)), { values: ['a', 'b', 'c'], acquired: ['0-2:1'] });
    const other = { memberId: 'b' };
    assert.deepEqual(await read(await fetch(0, other)), { values: [], acquired: [] });
    const acknowledgements = [acknowledgement(0n, 1n, ACCEPT), acknowledgement(2n, 2n, RELEASE)];
    const [answer] = await fetch(1, { acknowledgements: acknowledgements.slice(0, 1) });
    assert.equal(answer!.acknowledgeErrorCode, ErrorCode.NONE);
    assert.equal(sharing.service.shares.find(KEY)!.inFlight.startOffset, 2n);
    await fetch(2, { acknowledgements: acknowledgements.slice(1), maxRecords: 0 });
    assert.deepEqual((await read(await fetch(1, other))).acquired, ['2-2:2']);
    assert.equal(sharing.service.shares.metrics.accepted, 2);
  });

  it('gives large records as they were, from their payload', async () => {
    await produce('x'.repeat(5000));
    const [fetched] = await fetch(0);
    const bytes = await gather(fetched!.records);
    const [record] = readRecords(bytes, () => assert.fail('compressed'));
    assert.equal(Buffer.from(record!.value!).toString(), 'x'.repeat(5000));
  });

  it('takes whole batches, or no record too many', async () => {
    await produce('a', 'b', 'c');
    await produce('d', 'e');
    assert.deepEqual((await read(await fetch(0, { maxRecords: 2 }))).acquired, ['0-2:1']);
    assert.deepEqual((await read(await fetch(1, { maxRecords: 1, isStrict: true }))).acquired, ['3-3:1']);
    assert.deepEqual((await read(await fetch(2))).acquired, ['4-4:1']);
  });

  it('waits for records, and for those that others give back', async () => {
    const waiting = fetch(0, { maxWaitMs: 30_000 });
    await produce('late');
    assert.deepEqual((await read(await waiting)).values, ['late']);
    const second = fetch(0, { memberId: 'b', maxWaitMs: 30_000 });
    await fetch(1, { acknowledgements: [acknowledgement(0n, 0n, RELEASE)], maxRecords: 0 });
    assert.deepEqual((await read(await second)).acquired, ['0-0:2']);
  });

  it('keeps what was acknowledged over a restart; the rest is available again', async () => {
    await produce('a', 'b', 'c');
    await read(await fetch(0));
    await fetch(1, { acknowledgements: [acknowledgement(1n, 1n, ACCEPT)], maxRecords: 0 });
    sharing.close();
    sharing = open();
    await sharing.states.start();
    assert.deepEqual((await read(await fetch(0))).acquired, ['0-0:1', '2-2:1']);
  });

  it('takes records back from a connection that ends, and from a session; the deliveries count', async () => {
    await produce('a');
    const gone = new AbortController();
    await read(await fetch(0, { memberId: 'b', closed: gone.signal }));
    const waiting = fetch(0, { maxWaitMs: 30_000 });
    gone.abort();
    assert.deepEqual(
      (await read(await waiting)).acquired,
      ['0-0:2'],
      'or what ends its consumer would for ever',
    );
    await fetch(-1);
    assert.deepEqual((await read(await fetch(0, { memberId: 'c' }))).acquired, ['0-0:3']);
    assert.equal(await sharing.service.fetch(call(1)), ErrorCode.SHARE_SESSION_NOT_FOUND);
  });

  it('remembers nothing of sessions that have ended', async () => {
    for (let i = 0; i < 5; i++) await fetch(0);
    assert.equal(getEventListeners(connection.signal, 'abort').length, 1);
    await fetch(-1);
    assert.equal(getEventListeners(connection.signal, 'abort').length, 0);
  });

  it('refuses sessions in other epochs, and too many', async () => {
    await fetch(0);
    assert.equal(await sharing.service.fetch(call(7)), ErrorCode.INVALID_SHARE_SESSION_EPOCH);
    await fetch(0, { memberId: 'b' });
    assert.equal(
      await sharing.service.fetch(call(0, { memberId: 'c' })),
      ErrorCode.SHARE_SESSION_LIMIT_REACHED,
    );
    assert.equal(await sharing.service.acknowledge(call(0), []), ErrorCode.INVALID_SHARE_SESSION_EPOCH);
  });

  it('says what is wrong with partitions and acknowledgements', async () => {
    await produce('a');
    const unknown = { topicId: 'UVVVVVVVVVVVVVVVVVVVVQ', partition: 0 };
    const fetched = await fetch(0, { added: [unknown, { ...HERE, partition: 3 }, HERE] });
    assert.deepEqual(
      fetched.map(({ errorCode }) => errorCode).sort((a, b) => a - b),
      [ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID],
    );
    await read(fetched);
    const codes = async (epoch: number, batches: object) => {
      const outcomes = await sharing.service.acknowledge(call(epoch), [{ ...HERE, ...batches } as never]);
      assert.ok(typeof outcomes !== 'number');
      return outcomes.map(({ errorCode }) => errorCode);
    };
    const batch = (firstOffset: bigint, lastOffset: bigint, ...acknowledgeTypes: number[]) => ({
      batches: [{ firstOffset, lastOffset, acknowledgeTypes }],
    });
    for (const [i, bad] of [
      batch(1n, 0n, 1),
      batch(0n, 0n),
      batch(0n, 0n, 9),
      batch(0n, 9n, 1),
      batch(0n, 2n, 1, 1),
    ].entries())
      assert.deepEqual(await codes(i + 1, bad), [ErrorCode.INVALID_REQUEST], `batch ${i}`);
    const twice = { batches: [...batch(0n, 0n, 1).batches, ...batch(0n, 0n, 1).batches] };
    assert.deepEqual(await codes(6, twice), [ErrorCode.INVALID_RECORD_STATE], 'a record twice');
    assert.deepEqual(await codes(7, batch(0n, 0n, 1)), [ErrorCode.NONE]);
    assert.deepEqual(await codes(8, batch(0n, 0n, 1)), [ErrorCode.NONE], 'what is done with');
    const neverFetched = await codes(9, batch(1n, 1n, 1));
    assert.deepEqual(neverFetched, [ErrorCode.INVALID_RECORD_STATE], 'where nothing is under way');
    const notOpened = await codes(10, { ...THERE, ...batch(0n, 0n, 1) });
    assert.deepEqual(notOpened, [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION], 'where nobody has fetched');
  });

  it('leaves out records of aborted transactions for those who want committed ones', async () => {
    groupConfigs.set('share.isolation.level', 'read_committed');
    await transaction('aborted', 7n, false);
    await transaction('committed', 8n, true);
    const { acquired } = await read(await fetch(0));
    assert.ok(acquired.length > 0);
    assert.ok(!acquired.some((range) => range.startsWith('0-')), `the aborted record is in ${acquired}`);
    assert.equal(sharing.service.shares.find(KEY)!.inFlight.startOffset, 1n);
  });

  it('goes on where nothing is wrong, and later everywhere, when aborted records cannot be found', async () => {
    groupConfigs.set('share.isolation.level', 'read_committed');
    await sharing.states.initialize({ groupId: 'group', ...THERE }, 1, -1n);
    await transaction('aborted', 7n, false);
    await transaction('committed', 8n, true);
    const plain = buildBatch([{ key: null, value: Buffer.from('plain') }], { timestamp: 0n });
    await broker.partitions.find('jobs', 1)!.produce(plain, null, true);
    const { log } = broker.partitions.find('jobs', 0)!;
    const readLog = log.read.bind(log);
    log.read = (from, maxBytes, options) =>
      maxBytes === 1 << 20 ? Promise.reject(new Error('unreadable')) : readLog(from, maxBytes, options);
    const fetched = await fetch(0, { added: [THERE, HERE] });
    assert.deepEqual((await read(fetched)).values, ['plain']);
    assert.deepEqual(
      fetched.map(({ partition, errorCode }) => [partition, errorCode]),
      [
        [0, ErrorCode.KAFKA_STORAGE_ERROR],
        [1, ErrorCode.NONE],
      ],
    );
    log.read = readLog;
    assert.ok((await read(await fetch(1))).values.includes('committed'));
  });

  it('stores how far it is when records are acknowledged at the same time, in whatever order', async () => {
    await produce('a', 'b', 'c', 'd', 'e', 'f');
    await read(await fetch(0));
    const acknowledge = (epoch: number, first: bigint, last: bigint) =>
      sharing.service.acknowledge(call(epoch), [acknowledgement(first, last, ACCEPT)]);
    const doneUpTo = () => {
      const { startOffset, deliveryCompleteCount } = sharing.states.summary(KEY)!;
      return Number(startOffset) + deliveryCompleteCount;
    };
    await Promise.all([acknowledge(1, 2n, 2n), acknowledge(2, 0n, 1n)]);
    assert.equal(doneUpTo(), 3);
    await Promise.all([acknowledge(3, 3n, 3n), acknowledge(4, 4n, 5n)]);
    assert.equal(doneUpTo(), 6);
  });

  it('leaves out aborted records where records were deleted up to the middle of their batch', async () => {
    groupConfigs.set('share.isolation.level', 'read_committed');
    await transaction('aborted', 7n, false, 3);
    await transaction('committed', 8n, true);
    await broker.partitions.find('jobs', 0)!.deleteRecordsBefore(1n);
    const fetched = await fetch(0);
    assert.deepEqual(
      fetched.map(({ errorCode }) => errorCode),
      [ErrorCode.NONE],
    );
    assert.deepEqual((await read(fetched)).acquired, ['3-5:1']);
  });

  it('gives nothing to a fetch whose session has ended while it waited', async () => {
    await fetch(0, { memberId: 'b' });
    await fetch(0);
    const ended = fetch(1, { maxWaitMs: 30_000 });
    await fetch(-1);
    const replaced = fetch(0, { maxWaitMs: 30_000 });
    await fetch(0);
    await produce('a');
    assert.deepEqual((await read(await ended)).acquired, []);
    assert.deepEqual((await read(await replaced)).acquired, []);
    assert.deepEqual((await read(await fetch(1))).acquired, ['0-0:1']);
  });

  it('renews locks for requests that say so, and for no others', async () => {
    await produce('a');
    await read(await fetch(0));
    const renew = async (sessionEpoch: number, isRenewal: boolean) => {
      const asked = { ...call(sessionEpoch), isRenewal };
      const outcomes = await sharing.service.acknowledge(asked, [acknowledgement(0n, 0n, RENEW)]);
      assert.ok(typeof outcomes !== 'number');
      return outcomes.map(({ errorCode }) => errorCode);
    };
    assert.deepEqual(await renew(1, false), [ErrorCode.INVALID_REQUEST]);
    assert.deepEqual(await renew(2, true), [ErrorCode.NONE]);
    assert.equal(sharing.service.shares.metrics.renewed, 1);
  });

  it('takes what is said last of a partition that is named twice, and answers once', async () => {
    await produce('a');
    await read(await fetch(0));
    const twice = [acknowledgement(0n, 0n, ACCEPT), acknowledgement(0n, 0n, RELEASE)];
    const outcomes = await sharing.service.acknowledge(call(1), twice);
    assert.deepEqual(outcomes, [{ ...HERE, errorCode: ErrorCode.NONE, errorMessage: null }]);
    assert.deepEqual((await read(await fetch(2))).acquired, ['0-0:2']);
  });

  it('takes no records of other topics from members when what is known of a topic is gone', async () => {
    await produce('a');
    await read(await fetch(0));
    sharing.service.forget('group', ['UVVVVVVVVVVVVVVVVVVVVQ']);
    assert.deepEqual((await read(await fetch(0, { memberId: 'b' }))).acquired, []);
    sharing.service.forget('group', [JOBS.id]);
    assert.deepEqual((await read(await fetch(1, { memberId: 'b' }))).acquired, ['0-0:1']);
  });

  it('tells nobody that states are being loaded, and waits for them', async () => {
    await produce('a');
    sharing.close();
    const { log } = broker.partitions.find(SHARE_STATE_TOPIC, 0)!;
    const readLog = log.read.bind(log);
    let load = () => {};
    const isToLoad = new Promise<void>((resolve) => {
      load = resolve;
    });
    log.read = async (...args) => {
      await isToLoad;
      return readLog(...args);
    };
    sharing = open();
    const started = sharing.states.start();
    assert.deepEqual(await fetch(0), []);
    const waiting = fetch(1, { maxWaitMs: 30_000 });
    load();
    await started;
    assert.deepEqual((await read(await waiting)).values, ['a']);
  });

  it('gives no more bytes than the broker gives at once, and waits for no more', async () => {
    await produceInBoth('x'.repeat(3000));
    sharing.close();
    const memory = new MemoryBudget(arenaStats, 0.75, systemClock);
    sharing = open(new FetchService({ maxBytes: 3000 }, memory, systemClock));
    await sharing.states.start();
    const fetched = await fetch(0, { added: [HERE, THERE], minBytes: 1 << 20, maxWaitMs: 30_000 });
    assert.equal((await read(fetched)).values.length, 1);
  });

  it('waits for memory only while it holds none', async () => {
    await produceInBoth('a');
    const holds: unknown[] = [];
    const { fetches } = broker;
    const fetchRecords = fetches.fetch.bind(fetches);
    fetches.fetch = (targets, parameters) => {
      holds.push(parameters.holdsMemory);
      return fetchRecords(targets, parameters);
    };
    assert.deepEqual((await read(await fetch(0, { added: [HERE, THERE] }))).values, ['a', 'a']);
    assert.deepEqual(holds, [false, true]);
  });

  it('follows a log whose records are deleted', async () => {
    await produce('a', 'b');
    await produce('c');
    await read(await fetch(0));
    await broker.partitions.find('jobs', 0)!.deleteRecordsBefore(2n);
    const [answer] = await fetch(1, { acknowledgements: [acknowledgement(0n, 2n, RELEASE)] });
    assert.equal(answer!.acknowledgeErrorCode, ErrorCode.NONE);
    const { acquired } = await read([answer!]);
    assert.deepEqual(acquired, ['2-2:2']);
  });
});
