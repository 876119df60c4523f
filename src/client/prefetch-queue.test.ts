import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Event } from './event.ts';
import type { Awaiting } from './get-line.ts';
import { type EventSource, type FetchedBatch, PrefetchQueue } from './prefetch-queue.ts';
import { type Range, rangesOf, type Selectable, type Selection } from './selection.ts';

const ALL = (_: Selectable): Selection => 'all';

/** An event whose data arrives when the test says so. */
class SlowEvent {
  readonly topic = 't';
  readonly partition = 0;
  readonly metadata = null;
  readonly descriptor: { size: number; inline: boolean };
  readonly offset: bigint;
  isAskedFor = false;
  arrive: () => void = () => undefined;
  fail: (error: Error) => void = () => undefined;

  constructor(offset: number, size: number) {
    this.offset = BigInt(offset);
    this.descriptor = { size, inline: false };
  }

  rangesOf(selection: Selection): readonly Required<Range>[] | null {
    return rangesOf(selection, this.descriptor.size, () => 'test');
  }

  select(_ranges: unknown, _target: unknown, awaiting: Awaiting): void {
    this.isAskedFor = true;
    this.arrive = () => awaiting.arrived(null);
    this.fail = (error) => awaiting.failed(error);
  }
}

function queueOf(dataBytes: number, select = ALL, onRoom = () => {}): PrefetchQueue {
  return new PrefetchQueue({
    limits: { metadataBytes: 100, dataBytes },
    select,
    broker: undefined,
    onRoom,
    onDamaged: (error) => {
      throw error;
    },
  });
}

function sourceOf(next: () => Event | null, nextOffset = 0n): EventSource {
  return { topic: 't', partition: 0, nextOffset, next };
}

/** Events of one batch. */
function batchOf(events: readonly SlowEvent[], bytes: number, count = events.length): FetchedBatch {
  const left = [...events] as unknown as Event[];
  return { events: sourceOf(() => left.shift() ?? null, events[0]?.offset), count, bytes };
}

function push(queue: PrefetchQueue, event: SlowEvent, metadataBytes = 1): void {
  queue.push([batchOf([event], metadataBytes)]);
}

describe('events that are fetched ahead', () => {
  it('have their data asked for while less than the limit is outstanding', async () => {
    const queue = queueOf(25);
    const events = Array.from({ length: 6 }, (_, i) => new SlowEvent(i, 10));
    for (const event of events) push(queue, event);
    const asked = () => events.filter(({ isAskedFor }) => isAskedFor).length;
    assert.equal(asked(), 3);
    assert.equal(queue.dataBytes, 30);
    const taken = queue.take();
    assert.equal(asked(), 3, 'it is not worth a request');
    events[0]!.arrive();
    assert.equal((await taken).offset, 0n);
    events[1]!.arrive();
    await queue.take();
    assert.equal(asked(), 5, 'two at once');
    queue.clear();
    assert.deepEqual([queue.size, queue.dataBytes, queue.metadataBytes], [0, 0, 0]);
  });

  it('are forgotten of a partition that is gone, and their data is not waited for; others stay in their order', async () => {
    const queue = queueOf(35);
    const events = Array.from({ length: 12 }, (_, i) => new SlowEvent(i, 10));
    const gone = (i: number) => ({ topic: 't', partition: i % 2 });
    // Batches of three, of two partitions in turn; the second is made in part.
    for (let i = 0; i < 4; i++) {
      const some = events.slice(3 * i, 3 * i + 3);
      for (const event of some) Object.assign(event, gone(i));
      const { events: source, ...batch } = batchOf(some, 10);
      queue.push([{ ...batch, events: Object.assign(source, gone(i)) }]);
    }
    assert.deepEqual([queue.size, queue.metadataBytes, queue.dataBytes], [12, 40, 40]);
    queue.forget(({ partition }) => partition === 1);
    assert.deepEqual([queue.size, queue.metadataBytes, queue.dataBytes], [6, 20, 30]);
    const landed = queue.landed();
    events[3]!.fail(new Error('not wanted'));
    await landed;
    for (const i of [0, 1, 2, 6, 7, 8]) {
      events[i]!.arrive();
      assert.equal((await queue.take()).offset, BigInt(i));
    }
    assert.deepEqual([queue.size, queue.metadataBytes, queue.dataBytes], [0, 0, 0]);
  });

  it('count for nothing when they are forgotten while it is asked what is wanted of them', async () => {
    let isElsewhere = true;
    const queue: PrefetchQueue = queueOf(10, () => {
      if (isElsewhere) queue.clear();
      isElsewhere = false;
      return 'all';
    });
    push(queue, new SlowEvent(0, 10));
    assert.deepEqual([queue.size, queue.dataBytes], [0, 0]);
    const events = [new SlowEvent(1, 6), new SlowEvent(2, 6)];
    for (const event of events) push(queue, event);
    for (const event of events) {
      event.arrive();
      assert.equal(await queue.take(), event as unknown);
    }
  });

  it('are refused one by one when it cannot be told what is wanted of them, whatever is thrown', async () => {
    const thrown = [new Error('no'), 'no', undefined, Object.create(null), { toString: () => null }];
    const queue = queueOf(10, ({ descriptor: { size } }) => {
      throw thrown[size];
    });
    for (const size of thrown.keys()) push(queue, new SlowEvent(size, size));
    for (const _ of thrown) await assert.rejects(queue.take(), { code: 'INVALID_ARGUMENT' });
    assert.equal(queue.size, 0);
  });

  it('come in their order, however many were taken before', async () => {
    const queue = queueOf(0, () => 'none');
    let pushed = 0;
    let taken = 0;
    for (const [more, fewer] of [
      [1500, 1],
      [100, 1200],
      [3000, 2000],
      [10, 1409],
    ] as const) {
      for (let i = 0; i < more; i++) push(queue, new SlowEvent(pushed++, 10));
      for (let i = 0; i < fewer; i++) {
        assert.equal(queue.head!.event.offset, BigInt(taken));
        assert.equal((await queue.take()).offset, BigInt(taken++));
      }
      assert.deepEqual([queue.size, queue.metadataBytes], [pushed - taken, pushed - taken]);
    }
    assert.equal(queue.head, undefined);
  });

  it('are limited by their metadata, however little of their data is wanted', async () => {
    let rooms = 0;
    const queue = queueOf(
      10,
      () => 'none',
      () => rooms++,
    );
    for (let i = 0; i < 3; i++) push(queue, new SlowEvent(i, 1e9), 40);
    assert.ok(queue.isFull);
    await queue.take();
    assert.ok(queue.isFull, 'until half of them are taken');
    assert.equal(rooms, 0);
    await queue.take();
    assert.ok(!queue.isFull);
    assert.equal(rooms, 1);
  });

  it('always have the data of the first asked for, and never more than one event above the limit', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(50), { minLength: 1, maxLength: 30 }),
        fc.nat(60),
        async (sizes, limit) => {
          const queue = queueOf(limit);
          const events = sizes.map((size, i) => new SlowEvent(i, size));
          for (const event of events) push(queue, event);
          for (const event of events) {
            assert.ok(event.isAskedFor, 'the first');
            const asked = events.filter((one) => one.isAskedFor && one.offset >= event.offset);
            const outstanding = asked.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
            assert.equal(queue.dataBytes, outstanding);
            const last = asked.findLast(({ descriptor }) => descriptor.size > 0)?.descriptor.size ?? 0;
            assert.ok(
              outstanding - last <= limit,
              `${outstanding} with ${last} as the last, ${limit} allowed`,
            );
            event.arrive();
            await queue.take();
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('are made when it is their turn, and counted as what they were fetched as', async () => {
    const queue = queueOf(0, () => 'none');
    const events = Array.from({ length: 3000 }, (_, i) => new SlowEvent(i, 10));
    let made = 0;
    const batches = [events.slice(0, 1000), events.slice(1000, 1001), events.slice(1001)].map((some, i) => {
      // One of which some records are not there.
      const batch = batchOf(some, 500, i === 0 ? some.length + 250 : some.length);
      const next = () => {
        const event = batch.events.next();
        if (event !== null) made++;
        return event;
      };
      return { ...batch, events: sourceOf(next) };
    });
    queue.push(batches);
    assert.equal(made, 1024);
    assert.ok(queue.isFull);
    for (let i = 0; i < 256; i++) assert.equal((await queue.take()).offset, BigInt(i));
    assert.equal(made, 1024, 'it is not worth a request');
    assert.equal((await queue.take()).offset, 256n);
    assert.equal(made, 1024 + 257);
    for (let i = 257; i < 3000; i++) assert.equal((await queue.take()).offset, BigInt(i));
    assert.equal(queue.size, 0);
    assert.ok(Math.abs(queue.metadataBytes) < 1e-6);
    assert.equal(queue.head, undefined);
  });

  it('say where they are, made or not', async () => {
    const queue = queueOf(0, () => 'none');
    const where = { topic: 't', partition: 0 };
    assert.equal(queue.firstOffset(where), null);
    const events = Array.from({ length: 1100 }, (_, i) => new SlowEvent(i, 10));
    const other = { topic: 't', partition: 1, nextOffset: 42n, next: () => null };
    queue.push([batchOf(events, 5), { events: other, count: 1, bytes: 1 }]);
    assert.deepEqual([queue.firstOffset(where), queue.firstOffset(other)], [0n, 42n]);
    await queue.take();
    assert.equal(queue.firstOffset(where), 1n);
    assert.equal(queue.firstOffset({ topic: 'u', partition: 0 }), null);
  });

  it('come up to where what was fetched is damaged, and no further', async () => {
    const errors: unknown[] = [];
    const queue = new PrefetchQueue({
      limits: { metadataBytes: 100, dataBytes: 0 },
      select: () => 'none',
      broker: undefined,
      onRoom: () => undefined,
      onDamaged: (error) => errors.push(error),
    });
    const left = [new SlowEvent(0, 1), new SlowEvent(1, 1)];
    const damaged = new Error('damaged');
    const next = () => {
      const event = left.shift();
      if (event === undefined) throw damaged;
      return event as unknown as Event;
    };
    queue.push([{ events: sourceOf(next), count: 5, bytes: 5 }, batchOf([new SlowEvent(7, 1)], 1)]);
    assert.equal((await queue.take()).offset, 0n);
    assert.equal((await queue.take()).offset, 1n);
    assert.equal(queue.head, undefined);
    push(queue, new SlowEvent(8, 1));
    assert.equal(queue.head, undefined);
    assert.deepEqual(errors, [damaged]);
    queue.clear();
    push(queue, new SlowEvent(9, 1));
    assert.equal((await queue.take()).offset, 9n);
  });

  it('reject what cannot be had, whether or not it is waited for, and go on with the next', async () => {
    const queue = queueOf(100);
    const events = [new SlowEvent(0, 1), new SlowEvent(1, 1), new SlowEvent(2, 1)];
    for (const event of events) push(queue, event);
    const waiting = queue.take();
    events[0]!.fail(new Error('first'));
    events[1]!.fail(new Error('second'));
    events[2]!.arrive();
    await assert.rejects(waiting, /first/);
    assert.equal(queue.takeReady(), null);
    await queue.head!.ready;
    await assert.rejects(queue.take(), /second/);
    assert.equal(queue.takeReady()!.offset, 2n);
  });

  it('are wanted no more when they are forgotten, and landed when their data has arrived or will not', async () => {
    const queue = queueOf(100);
    const events = Array.from({ length: 4 }, (_, i) => new SlowEvent(i, 1));
    for (const event of events) push(queue, event);
    events[0]!.arrive();
    assert.equal((await queue.take()).offset, 0n);
    assert.ok(queue.head!.isWanted);
    const { head } = queue;
    events[3]!.arrive();
    queue.clear();
    assert.equal(head!.isWanted, false);
    let hasLanded = false;
    const landed = queue.landed().then(() => {
      hasLanded = true;
    });
    events[1]!.arrive();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(hasLanded, false, 'one is under way');
    events[2]!.fail(new Error('lost'));
    await landed;
    await queue.landed();
  });

  it('reject what cannot be selected, and go on with the next', async () => {
    const queue = queueOf(100, ({ descriptor: { size } }) => ({ offset: 0, length: size === 1 ? 2 : 1 }));
    const [wrong, right] = [new SlowEvent(0, 1), new SlowEvent(1, 5)];
    push(queue, wrong);
    push(queue, right);
    await assert.rejects(queue.take(), { code: 'INVALID_ARGUMENT' });
    right.arrive();
    assert.equal((await queue.take()).offset, 1n);
  });

  it('are no bytes when all are taken, whatever the share of each was', async () => {
    for (let count = 1; count < 50; count++) {
      const queue = queueOf(1000, () => 'none');
      const events = Array.from({ length: count }, (_, i) => new SlowEvent(i, 10));
      // Compaction has left less than there were.
      queue.push([batchOf(events, 1000 + count, count + 2)]);
      for (let i = 0; i < count; i++) await queue.take();
      queue.push([]);
      assert.equal(queue.metadataBytes, 0, `${count} events`);
    }
  });
});
