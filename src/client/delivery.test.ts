import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { ErrorCode } from '../protocol/errors.ts';
import { addEvent } from './add-event.ts';
import type { EventRecord } from './batch-encoder.ts';
import type { BatchIdentity, BatchSender } from './batch-sender.ts';
import { Delivery, type DeliveryOptions } from './delivery.ts';
import { brokerError, DirectError } from './errors.ts';
import { Batch, Lane, type PushResult } from './lane.ts';
import type { PushedEvent } from './push-event.ts';

const LOST = new DirectError('CONNECTION', 'lost', { doing: 'test' });
const GAP = brokerError(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, null, 'test');
const REFUSED = new DirectError('BROKER', 'refused', { doing: 'test' });

interface Sent {
  readonly events: number;
  readonly key: string;
  readonly identity: BatchIdentity | null;
}

/** A gateway that appends what it gets in order, unless `fail` says otherwise. */
class FakeSender {
  readonly appended: Sent[] = [];
  encoded = 0;
  /** Asked for each attempt: an error before the batch is on its way, or null. */
  fail: (key: string, attempt: number) => DirectError | null = () => null;
  readonly #attempts = new Map<string, number>();

  isAlone({ key }: EventRecord): boolean {
    return Buffer.from(key!).toString().startsWith('alone');
  }

  encode(events: readonly EventRecord[]) {
    this.encoded++;
    return { events };
  }

  async send(
    _partition: number,
    { events }: { events: readonly EventRecord[] },
    identity: BatchIdentity | null,
    _isRetry: boolean,
    sent: () => void,
  ): Promise<bigint> {
    const key = Buffer.from(events[0]!.key!).toString();
    const attempt = (this.#attempts.get(key) ?? 0) + 1;
    this.#attempts.set(key, attempt);
    await new Promise((resolve) => setImmediate(resolve));
    const failure = this.fail(key, attempt);
    if (failure !== null) throw failure;
    sent();
    this.appended.push({ key, identity, events: events.length });
    return BigInt(this.appended.length - 1);
  }
}

describe('delivery of events', () => {
  let sender: FakeSender;
  let settledBytes: number;

  const eventOf = (key: string): PushedEvent => ({
    ...{
      key: Buffer.from(key),
      data: null,
      dataBytes: 0,
      metadata: new Uint8Array(0),
      headers: [],
      timestamp: 0,
    },
    bytes: 10,
  });

  function deliveryOf(options: Partial<DeliveryOptions> = {}): Delivery {
    sender = new FakeSender();
    settledBytes = 0;
    return new Delivery({
      batchSize: 1,
      batchBytes: 1000,
      lingerMs: 'adaptive',
      maxInFlight: 5,
      deliveryTimeoutMs: 60_000,
      sender: sender as unknown as BatchSender,
      doing: 'test',
      identify: null,
      onLost: null,
      onSettled: (bytes) => {
        settledBytes += bytes;
      },
      isWaitedFor: () => false,
      ...options,
    });
  }

  function add(delivery: Delivery, key: string): Promise<PushResult> {
    return addEvent(delivery, 0, eventOf(key), undefined, 'test');
  }

  const keys = () => sender.appended.map(({ key }) => key);

  it('keeps the order when a batch cannot be sent at first, idempotent or not', async () => {
    for (const identify of [null, async () => ({ producerId: 1n, producerEpoch: 0 })]) {
      const delivery = deliveryOf({ identify });
      sender.fail = (key, attempt) => (key === 'b' && attempt === 1 ? LOST : null);
      const results = await Promise.all(['a', 'b', 'c', 'd'].map((key) => add(delivery, key)));
      assert.deepEqual(keys(), ['a', 'b', 'c', 'd']);
      assert.deepEqual(
        results.map(({ offset }) => offset),
        [0n, 1n, 2n, 3n],
      );
      if (identify !== null)
        assert.deepEqual(
          sender.appended.map(({ identity }) => identity?.baseSequence),
          [0, 1, 2, 3],
        );
      assert.equal(settledBytes, 40);
    }
  });

  it('keeps the order when attempts fail where sequences begin again', () => {
    const lane = new Lane(0);
    lane.sequence = 2 ** 31 - 1;
    const sent = ['a', 'b'].map((key) => {
      lane.open = new Batch(0, Number.POSITIVE_INFINITY);
      void lane.open.add(eventOf(key));
      lane.seal();
      return lane.next()!;
    });
    assert.deepEqual(
      sent.map(({ sequence }) => sequence),
      [2 ** 31 - 1, 0],
    );
    for (const batch of [...sent].reverse()) lane.keep(batch);
    assert.deepEqual(lane.failed, sent);
  });

  it('encodes a batch once, while it waits, however often it is sent', async () => {
    const identify = async () => ({ producerId: 1n, producerEpoch: 0 });
    const delivery = deliveryOf({ batchSize: 2, maxInFlight: 1, identify });
    sender.fail = (_key, attempt) => (attempt < 3 ? LOST : null);
    const pushed = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => add(delivery, key));
    // All of them wait for the id.
    assert.equal(sender.encoded, 3);
    const results = await Promise.all(pushed);
    assert.deepEqual(keys(), ['a', 'c', 'e']);
    assert.equal(sender.encoded, 3);
    assert.deepEqual(
      results.map(({ offset }) => offset),
      [0n, 1n, 1n, 2n, 2n, 3n],
    );
  });

  it('rejects the push of each event of a batch that is refused, and none of another', async () => {
    const delivery = deliveryOf({ batchSize: 2 });
    sender.fail = (key) => (key === 'a' ? REFUSED : null);
    const settled = await Promise.allSettled(['a', 'b', 'c', 'd'].map((key) => add(delivery, key)));
    assert.deepEqual(
      settled.map((one) => (one.status === 'fulfilled' ? one.value.partition : one.reason)),
      [REFUSED, REFUSED, 0, 0],
    );
  });

  it('sends events that are to be alone in batches of their own, in order', async () => {
    const delivery = deliveryOf({ batchSize: 10 });
    const pushed = ['a', 'b', 'alone 1', 'alone 2', 'c', 'd'];
    await Promise.all(pushed.map((key) => add(delivery, key)));
    assert.deepEqual(keys(), ['a', 'alone 1', 'alone 2', 'c']);
    assert.deepEqual(
      sender.appended.map(({ events }) => events),
      [2, 1, 1, 2],
    );
  });

  it('goes on under another id, with sequences from 0, when an event is lost', async () => {
    let ids = 0n;
    const delivery = deliveryOf({ identify: async () => ({ producerId: ++ids, producerEpoch: 0 }) });
    sender.fail = (key) => (key === 'a' ? REFUSED : null);
    const lost = add(delivery, 'a');
    await assert.rejects(lost, { code: 'BROKER' });
    await add(delivery, 'b');
    assert.deepEqual(sender.appended[0]!.identity, { producerId: 2n, producerEpoch: 0, baseSequence: 0 });
  });

  it('goes on under another id when the gateway has lost events that were acknowledged', async () => {
    let ids = 0n;
    const delivery = deliveryOf({ identify: async () => ({ producerId: ++ids, producerEpoch: 0 }) });
    await add(delivery, 'a');
    sender.fail = (key, attempt) => (key === 'b' && attempt <= 2 ? GAP : null);
    await Promise.all(['b', 'c', 'd'].map((key) => add(delivery, key)));
    assert.deepEqual(
      sender.appended.map(({ key, identity }) => [key, identity?.producerId, identity?.baseSequence]),
      [
        ['a', 1n, 0],
        ['b', 2n, 0],
        ['c', 2n, 1],
        ['d', 2n, 2],
      ],
    );
  });

  it('says so within a transaction when the gateway has lost events of it', async () => {
    const lost: DirectError[] = [];
    const delivery: Delivery = deliveryOf({
      identify: async () => ({ producerId: 1n, producerEpoch: 0 }),
      onLost: (error) => {
        lost.push(error);
        delivery.abandon(error);
      },
    });
    delivery.restart({ producerId: 1n, producerEpoch: 0 });
    sender.fail = () => GAP;
    await assert.rejects(add(delivery, 'a'), GAP);
    assert.deepEqual(lost, [GAP]);
  });

  it('tells of an event that is lost, and rejects what is behind it when it is abandoned', async () => {
    const lost: DirectError[] = [];
    const delivery: Delivery = deliveryOf({
      identify: async () => ({ producerId: 1n, producerEpoch: 0 }),
      maxInFlight: 1,
      onLost: (error) => {
        lost.push(error);
        delivery.abandon(error);
      },
    });
    delivery.restart({ producerId: 1n, producerEpoch: 0 });
    sender.fail = (key) => (key === 'b' ? REFUSED : null);
    const settled = await Promise.allSettled(['a', 'b', 'c', 'd'].map((key) => add(delivery, key)));
    assert.deepEqual(
      settled.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'rejected'],
    );
    assert.deepEqual([keys(), lost, settledBytes], [['a'], [REFUSED], 40]);
    await assert.rejects(add(delivery, 'e'), { code: 'BROKER' });
    await delivery.flush();
    delivery.restart({ producerId: 1n, producerEpoch: 1 });
    await add(delivery, 'f');
    assert.deepEqual(sender.appended[1]!.identity, { producerId: 1n, producerEpoch: 1, baseSequence: 0 });
  });

  it('settles a batch once that is abandoned while it is tried again', async () => {
    const delivery = deliveryOf();
    sender.fail = (_key, attempt) => {
      if (attempt === 1) return LOST;
      delivery.abandon(REFUSED);
      return null;
    };
    await assert.rejects(add(delivery, 'a'), { code: 'BROKER' });
    await delivery.idle();
    assert.deepEqual([keys(), settledBytes], [['a'], 10]);
  });

  it('takes back what is not on its way when a signal says so, and nothing else', async () => {
    const identify = async () => ({ producerId: 1n, producerEpoch: 0 });
    const delivery = deliveryOf({ batchSize: 3, maxInFlight: 1, lingerMs: 60_000, identify });
    const signals = Array.from({ length: 7 }, () => new AbortController());
    const pushed = signals.map(({ signal }, i) => addEvent(delivery, 0, eventOf(`${i}`), signal, 'test'));
    const settled = Promise.allSettled(pushed);
    // The first three are a batch that is sent; 3 to 5 wait for it, and 6 for more.
    await new Promise((resolve) => setImmediate(resolve));
    for (const i of [1, 3, 6]) signals[i]!.abort(new Error('enough'));
    await delivery.flush();
    assert.deepEqual(
      (await settled).map((one) => (one.status === 'fulfilled' ? one.value.offset : one.reason.code)),
      [0n, 1n, 2n, 'ABORTED', 1n, 2n, 'ABORTED'],
    );
    assert.deepEqual(
      sender.appended.map(({ events, identity }) => [events, identity?.baseSequence]),
      [
        [3, 0],
        [2, 3],
      ],
    );
    assert.equal(settledBytes, 70);
    for (const { signal } of signals) assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('has sent nothing while all that was added is taken back', async () => {
    const delivery = deliveryOf({ lingerMs: 60_000, batchSize: 2 });
    delivery.restart({ producerId: 1n, producerEpoch: 0 });
    const stop = new AbortController();
    const taken = addEvent(delivery, 0, eventOf('a'), stop.signal, 'test');
    stop.abort();
    await assert.rejects(taken, { code: 'ABORTED' });
    await delivery.flush();
    assert.equal(delivery.hasSent, false);
    await Promise.all([add(delivery, 'b'), delivery.flush()]);
    assert.equal(delivery.hasSent, true);
    delivery.restart({ producerId: 1n, producerEpoch: 1 });
    assert.equal(delivery.hasSent, false);
  });

  it('flushes what was added before, while others go on adding, without lingering', async () => {
    const delivery = deliveryOf({ batchSize: 100, lingerMs: 200 });
    let flushed = false;
    let later = 0;
    const before = add(delivery, 'first');
    const flushing = delivery.flush([before]).then(() => {
      flushed = true;
    });
    const keepOn = async () => {
      while (!flushed && later < 1000) await add(delivery, `later ${later++}`);
    };
    await Promise.all([flushing, keepOn()]);
    assert.ok(later < 1000, 'it waits for what is added after it');
    assert.equal(keys()[0], 'first');
  });

  it('lets some time pass between attempts, however much is added meanwhile', async () => {
    const delivery = deliveryOf();
    let attempts = 0;
    sender.fail = (key, attempt) => {
      if (key === 'a') attempts = attempt;
      return attempts < 4 ? LOST : null;
    };
    const begin = performance.now();
    const added = [add(delivery, 'a')];
    while (attempts < 4) {
      added.push(add(delivery, `${added.length}`));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.ok(performance.now() - begin >= 140, `${performance.now() - begin} ms for 3 times 50`);
    await Promise.all(added);
    assert.deepEqual(keys(), ['a', ...added.slice(1).map((_, i) => `${i + 1}`)]);
  });

  it('rejects everything that waits when no id can be had', async () => {
    const delivery = deliveryOf({ identify: () => Promise.reject(REFUSED) });
    const settled = await Promise.allSettled(['a', 'b'].map((key) => add(delivery, key)));
    assert.ok(settled.every(({ status }) => status === 'rejected'));
    await delivery.flush();
    assert.equal(settledBytes, 20);
  });

  it('asks for an id for as long as events have time, each its own', async () => {
    let isAway = true;
    const delivery = deliveryOf({
      deliveryTimeoutMs: 1000,
      identify: async () => {
        if (isAway) throw LOST;
        return { producerId: 1n, producerEpoch: 0 };
      },
    });
    const first = add(delivery, 'a');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const second = add(delivery, 'b');
    await assert.rejects(first, LOST);
    isAway = false;
    assert.equal((await second).offset, 0n);
    assert.equal(settledBytes, 20);
  });

  it('asks for an id again for what is added while others are rejected for want of one', async () => {
    let asked = 0;
    let second: Promise<PushResult> | null = null;
    const delivery: Delivery = deliveryOf({
      identify: async () => {
        if (++asked === 1) throw REFUSED;
        return { producerId: 1n, producerEpoch: 0 };
      },
      // As one that has waited for room.
      onSettled: () => {
        second ??= add(delivery, 'b');
      },
    });
    await assert.rejects(add(delivery, 'a'), { code: 'BROKER' });
    assert.equal((await second!).offset, 0n);
  });

  it('has batches linger no longer when others wait for their room', async () => {
    let isWaitedFor = false;
    const delivery = deliveryOf({ batchSize: 100, lingerMs: 60_000, isWaitedFor: () => isWaitedFor });
    const lingering = add(delivery, 'a');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(keys(), []);
    delivery.hurry();
    await lingering;
    isWaitedFor = true;
    await add(delivery, 'b');
    assert.deepEqual(keys(), ['a', 'b']);
  });

  it('says that a call was wrong when its event cannot be read any more', async () => {
    const delivery = deliveryOf();
    sender.fail = () => {
      throw new TypeError('a detached ArrayBuffer');
    };
    await assert.rejects(add(delivery, 'a'), { name: 'DirectError', code: 'INVALID_ARGUMENT' });
  });
});
