import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { FileSystem } from '../../../backend/log/ports.ts';
import { ErrorCode } from '../../../protocol/errors.ts';
import { MoveFixture, TOPIC } from './moves.fixture.ts';

describe('Moves of partitions between log directories', () => {
  let fixture: MoveFixture;

  beforeEach(() => {
    fixture = new MoveFixture();
  });

  afterEach(() => fixture.end());

  it('bring all records and payload, and leave nothing', async () => {
    await fixture.start();
    await fixture.produce(300);
    const from = fixture.at;
    const to = (from + 1) % 3;
    await fixture.move(to);
    assert.deepEqual(fixture.found(), [`${to}/t-0`]);
    await fixture.check();
    await fixture.produce(50);
    await fixture.check();
    assert.equal(fixture.broker.moves.metrics.completed, 1);
    await fixture.broker.stop();
    await fixture.start();
    assert.equal(fixture.at, to);
    assert.deepEqual(fixture.found(), [`${to}/t-0`]);
    await fixture.check();
  });

  it('go on while the partition is written and read, there and back', async () => {
    await fixture.start();
    await fixture.produce(100);
    let writing = true;
    const writer = (async () => {
      while (writing) {
        await fixture.produceOne();
        await setImmediate();
      }
    })();
    const reader = (async () => {
      for (let next = 0n; writing; ) {
        const { result, bytes } = await fixture.broker.fetch('t', 0, next, { maxBytes: 1 << 18 });
        assert.equal(result.errorCode, 0);
        await setImmediate();
        if (bytes.byteLength === 0) next = 0n;
        for (let at = 0; at < bytes.byteLength; at += bytes.readInt32BE(at + 8) + 12)
          assert.equal(bytes.readBigInt64BE(at), next++);
      }
    })();
    for (let round = 0; round < 4; round++) {
      await fixture.move((fixture.at + 1) % 3);
      await setTimeout(20);
    }
    writing = false;
    await Promise.all([writer, reader]);
    await fixture.check();
    await fixture.broker.crash();
    await fixture.start();
    await fixture.check();
  });

  it('of an empty partition are moves, too', async () => {
    await fixture.start();
    await fixture.move((fixture.at + 2) % 3);
    await fixture.produce(5);
    await fixture.check();
  });

  it('keep the log start, also after a crash', async () => {
    await fixture.start();
    await fixture.produce(60);
    await fixture.partition.deleteRecordsBefore(41n);
    await fixture.move((fixture.at + 1) % 3);
    assert.equal(fixture.partition.logStartOffset, 41n);
    await fixture.broker.crash();
    await fixture.start();
    assert.equal(fixture.partition.logStartOffset, 41n);
    await fixture.check(41);
  });

  it('are given up when the partition is to be where it is', async () => {
    let open = false;
    await fixture.start({ mayCopy: () => open });
    await fixture.produce(100);
    const from = fixture.at;
    assert.equal(fixture.alter((from + 1) % 3), 0);
    while (fixture.found().length < 2) await setTimeout(2);
    const [move] = fixture.broker.moves.moves();
    assert.equal(move!.lag, 100n);
    assert.equal(fixture.alter(from), 0);
    assert.deepEqual([...fixture.broker.moves.moves()], []);
    while (fixture.found().length > 1) await setTimeout(2);
    open = true;
    assert.equal(fixture.at, from);
    assert.equal(fixture.broker.moves.metrics.failures, 0);
    await fixture.check();
  });

  it('change their destination', async () => {
    let open = false;
    await fixture.start({ mayCopy: () => open });
    await fixture.produce(100);
    const from = fixture.at;
    fixture.alter((from + 1) % 3);
    while (fixture.found().length < 2) await setTimeout(2);
    fixture.alter((from + 2) % 3);
    open = true;
    while (fixture.at === from) await setTimeout(2);
    await fixture.settled();
    assert.equal(fixture.at, (from + 2) % 3);
    assert.deepEqual(fixture.found(), [`${fixture.at}/t-0`]);
    await fixture.check();
  });

  it('go on after a restart with what is there', async () => {
    let left = 8;
    await fixture.start({ mayCopy: () => left-- > 0 });
    await fixture.produce(300);
    const from = fixture.at;
    fixture.alter((from + 1) % 3);
    while (left >= 0) await setTimeout(2);
    await fixture.broker.stop();
    assert.equal(fixture.found().length, 2);
    let steps = 0;
    await fixture.start({ mayCopy: () => ++steps > 0 });
    await fixture.settled();
    assert.equal(fixture.at, (from + 1) % 3);
    assert.equal(fixture.broker.moves.metrics.completed, 1);
    assert.ok(steps <= fixture.files().length - 8, `it took ${steps} steps more`);
    await fixture.check();
  });

  it('are finished by a start when the copy was about to become the partition', async () => {
    let dead = false;
    const faulty = (fileSystem: FileSystem): FileSystem => ({
      ...fileSystem,
      // The first renaming was the commitment; the process dies before the second.
      rename: (from, to) =>
        from.endsWith('-future') && !to.endsWith('-delete')
          ? new Promise(() => {
              dead = true;
            })
          : fileSystem.rename(from, to),
    });
    await fixture.start({ faulty });
    await fixture.produce(100);
    const to = (fixture.at + 1) % 3;
    fixture.alter(to);
    while (!dead) await setTimeout(2);
    assert.deepEqual(fixture.found(), [`${to}/t-0-future`]);
    await fixture.broker.crash(true);
    await fixture.start();
    assert.equal(fixture.at, to);
    assert.deepEqual(fixture.found(), [`${to}/t-0`]);
    await fixture.check();
  });

  for (const operation of ['copyRange', 'publishCopy', 'rename'] as const)
    it(`that fail at ${operation} leave the partition where it is`, async () => {
      let failing = true;
      let failed = 0;
      const faulty = (fileSystem: FileSystem): FileSystem => ({
        ...fileSystem,
        [operation]: async (from: string, ...rest: string[]) => {
          const isIts = operation !== 'rename' || (from.endsWith('-future') && !rest[0]!.endsWith('-delete'));
          if (failing && isIts && failed++ >= (operation === 'rename' ? 0 : 10))
            throw Object.assign(new Error('fault'), { code: 'ENOSPC' });
          return (fileSystem[operation] as (...given: string[]) => Promise<unknown>)(from, ...rest);
        },
      });
      await fixture.start({ faulty });
      await fixture.produce(200);
      const from = fixture.at;
      fixture.alter((from + 1) % 3);
      await fixture.settled();
      assert.equal(fixture.broker.moves.metrics.failures, 1);
      assert.equal(fixture.at, from);
      while (fixture.found().length > 1) await setTimeout(2);
      assert.deepEqual(fixture.found(), [`${from}/t-0`]);
      await fixture.produce(20);
      await fixture.check();
      failing = false;
      await fixture.move((from + 1) % 3);
      await fixture.check();
    });

  it('end when the topic is deleted', async () => {
    await fixture.start({ mayCopy: () => false });
    await fixture.produce(100);
    fixture.alter((fixture.at + 1) % 3);
    while (fixture.found().length < 2) await setTimeout(2);
    await fixture.broker.moves.forget('t');
    await fixture.broker.partitions.topicDeleted(TOPIC);
    assert.deepEqual(fixture.found(), []);
    assert.deepEqual([...fixture.broker.moves.moves()], []);
  });

  it('leave payload in tiers where it is', async () => {
    await fixture.start({ tiered: true });
    await fixture.produce(200);
    const tier = () => readdirSync(join(fixture.root, 'tier'), { recursive: true, encoding: 'utf8' });
    const payload = () => tier().filter((name) => name.endsWith('.payload')).length;
    assert.ok(payload() > 3);
    await fixture.move((fixture.at + 1) % 3);
    assert.ok(payload() > 3);
    await fixture.check();
    assert.deepEqual(
      fixture.files().filter((name) => name.endsWith('.payload')),
      [],
    );
    await fixture.produce(100);
    await fixture.broker.crash();
    await fixture.start({ tiered: true });
    await fixture.check();
  });

  it('and moves to tiers do not get in each other’s way', async () => {
    await fixture.start();
    await fixture.produce(300);
    await fixture.broker.stop();
    await fixture.start({ tiered: true });
    for (let round = 0; round < 3; round++) {
      fixture.alter((fixture.at + 1) % 3);
      fixture.broker.tiers.migrator.look();
      await fixture.settled();
      await fixture.produce(20);
    }
    await fixture.broker.tiers.migrator.idle();
    assert.equal(fixture.broker.moves.metrics.completed, 3);
    assert.equal(fixture.broker.tiers.migrator.movesOf(0).failures, 0);
    await fixture.check();
    await fixture.broker.stop();
    await fixture.start({ tiered: true });
    await fixture.check();
  });

  it('are left alone by compaction and retention', async () => {
    await fixture.start({ config: { 'retention.bytes': '60000' } });
    await fixture.produce(300);
    fixture.alter((fixture.at + 1) % 3);
    await fixture.partition.log.deleteOldSegments();
    await fixture.settled();
    await fixture.partition.log.deleteOldSegments();
    const start = Number(fixture.partition.logStartOffset);
    assert.ok(start > 0);
    await fixture.check(start);
    const bases = fixture.files().filter((name) => name.endsWith('.log'));
    assert.ok(
      bases.every((name) => Number.parseInt(name, 10) + 200 > start),
      bases.join(),
    );
  });

  it('answer as Kafka does', async () => {
    await fixture.start();
    const { moves } = fixture.broker;
    const [here, there] = [fixture.directories[fixture.at]!, fixture.directories[(fixture.at + 1) % 3]!];
    assert.equal(moves.alter('t', 0, here), ErrorCode.NONE);
    assert.equal(moves.alter('t', 7, there), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal(moves.alter('t', 0, '/nowhere'), ErrorCode.LOG_DIR_NOT_FOUND);
    assert.equal(moves.alter('x'.repeat(214), 0, there), ErrorCode.INVALID_TOPIC_EXCEPTION);
    assert.equal(moves.alter('x'.repeat(213), 0, there), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    fixture.broker.logs.isCordoned = (path) => path === there;
    assert.equal(moves.alter('t', 0, there), ErrorCode.INVALID_REPLICA_ASSIGNMENT);
    fixture.broker.logs.isCordoned = () => false;
    assert.equal(moves.alter('u', 0, there), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    const topic = { name: 'u', id: 'AAAAAAAAAAAAAAAAAAAABg', partitions: [{ index: 0, leaderEpoch: 0 }] };
    for (let count = 0; count < 2; count++)
      await fixture.broker.partitions.partitionsCreated(topic, topic.partitions, fixture.config());
    assert.ok(existsSync(join(there, 'u-0')), 'a partition is made where it was wished for');
    assert.ok(readdirSync(there).length > 0);
    fixture.broker.logs.directoryOf(fixture.partition.log)!.fail(new Error('the disk has failed'));
    assert.equal(moves.alter('t', 0, there), ErrorCode.KAFKA_STORAGE_ERROR);
  });
});
