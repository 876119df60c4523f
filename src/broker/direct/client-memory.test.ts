import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { checkBatchesAsync, checkBatchesSoon, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import { createSharedBuffer, offerSharedBuffer } from '../../native/direct.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { BATCH_HEADER_SIZE } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { MemoryBudget } from '../partitions/memory-budget.ts';
import { type Attachment, Attachments } from './attachments.ts';
import { DirectPuts } from './direct-puts.ts';
import { allocateFor, MappedMemory, MappedSession } from './mapped-memory.ts';

const CHUNK_BYTES = 1 << 20;

function attachmentsOf(mapped = new MappedMemory({ maxClientBytes: CHUNK_BYTES })): Attachments {
  return new Attachments({
    maxRegions: 4,
    maxRegionBytes: 1 << 30,
    users: [],
    allowsMapping: () => false,
    mappedListeners: new Set(['MAPPED']),
    mapped,
    logger: silentLogger,
  });
}

describe('memory of direct clients', () => {
  let attachments: Attachments;
  let mapped: MappedMemory;
  let attachment: Attachment;
  const connection = {};
  const closed = new AbortController();

  beforeEach(() => {
    mapped = new MappedMemory({ maxClientBytes: CHUNK_BYTES });
    attachments = attachmentsOf(mapped);
    attachment = attachments.attach(connection, closed.signal);
  });
  afterEach(() => {
    attachments.close();
    attachments.takeBack();
    assert.equal(arenaStats().blocks, 0, 'all memory is given back');
  });

  const put = (region: number) => [
    {
      batch: new Uint8Array(BATCH_HEADER_SIZE),
      data: [{ at: BATCH_HEADER_SIZE, region, offset: 0, length: 100 }],
    },
  ];
  const limits = { maxRequestBytes: 1 << 30, maxRanges: 100 };
  /** Memory is there without them. */
  const noPuts = { allocate: () => Promise.reject(new Error('nothing is waited for')) };

  async function attached(): Promise<number> {
    const shared = await createSharedBuffer(CHUNK_BYTES);
    return offerSharedBuffer(attachments.socketName, attachment.token, shared, 30_000);
  }

  it('that is released while a put waits for room is the client’s mistake, which it is told', async () => {
    const clock = new VirtualClock();
    let usedBytes = arenaStats().capacityBytes;
    const { capacityBytes } = arenaStats();
    const memory = new MemoryBudget(() => ({ capacityBytes, usedBytes }), 0.5, clock);
    const puts = new DirectPuts(limits, memory, clock);
    const region = await attached();
    const waiting = puts.assemble(put(region), attachment, 1000);
    attachment.release(region);
    usedBytes = 0;
    const refused = assert.rejects(waiting, { code: ErrorCode.INVALID_REQUEST });
    await clock.advance(10);
    await refused;
  });

  it('is waited for no longer than the put says', async () => {
    const clock = new VirtualClock();
    const { capacityBytes } = arenaStats();
    const memory = new MemoryBudget(() => ({ capacityBytes, usedBytes: capacityBytes }), 0.5, clock);
    const puts = new DirectPuts(limits, memory, clock);
    const refused = assert.rejects(puts.assemble(put(await attached()), attachment, 1000), {
      code: ErrorCode.REQUEST_TIMED_OUT,
    });
    await clock.advance(1005);
    await refused;
  });

  it('is taken in the order of the puts: what one holds is used after those before it have theirs', async () => {
    const clock = new VirtualClock();
    const { capacityBytes } = arenaStats();
    let usedBytes = capacityBytes;
    const memory = new MemoryBudget(() => ({ capacityBytes, usedBytes }), 0.5, clock);
    const puts = new DirectPuts(limits, memory, clock);
    const region = await attached();
    const before = arenaStats().usedBytes;
    const first = puts.assemble(put(region), attachment, 100);
    const second = puts.assemble(put(region), attachment, 1000);
    const refused = assert.rejects(first, { code: ErrorCode.REQUEST_TIMED_OUT });
    await clock.advance(50);
    assert.equal(memory.waiters, 1);
    assert.equal(arenaStats().usedBytes, before);
    await clock.advance(55);
    await refused;
    usedBytes = 0;
    await clock.advance(10);
    (await second).memory.release();
  });

  it('leaves nothing behind when it is released and attached again', () => {
    const before = getEventListeners(closed.signal, 'abort').length;
    for (let n = 0; n < 10; n++) {
      attachments.end(attachment);
      attachment = attachments.attach(connection, closed.signal);
    }
    assert.equal(getEventListeners(closed.signal, 'abort').length, before);
  });

  it('of the gateway is lent up to a limit, what is kept once, and comes back when the client has gone', async () => {
    const session = mapped.begin(1);
    const memory = () => NativeMemory.allocate(CHUNK_BYTES / 2)!;
    const block = memory();
    const first = session.lend(block.slice(100, 10), false);
    session.lend(block.slice(5000, 10), false);
    assert.equal(mapped.bytes, CHUNK_BYTES / 2, 'the whole block is kept for a part of it');
    session.lend(memory(), false);
    assert.equal(mapped.bytes, CHUNK_BYTES);
    session.lend(block, false);
    assert.throws(() => session.lend(NativeMemory.allocate(1)!, false), /direct\.mapped\.max\.bytes/);
    await assert.rejects(allocateFor(session, 1, noPuts), { code: ErrorCode.POLICY_VIOLATION });
    assert.equal(session.release(first), true);
    assert.equal(session.release(first), false);
    assert.equal(mapped.bytes, CHUNK_BYTES, 'another lease needs it');
    assert.equal(session.writable(first + 1), null, 'what is read is not written');
    mapped.gone(1);
    assert.equal(mapped.bytes, 0);
    assert.throws(() => session.lend(NativeMemory.allocate(1)!, false), /let go/);
  });

  it('of the gateway has names from the first on again behind the last that a request can say', () => {
    const session = new MappedSession(1, mapped, 2 ** 31 - 1);
    const lend = () => session.lend(NativeMemory.allocate(1)!, false);
    const [last, first] = [lend(), lend()];
    assert.deepEqual([last, first], [2 ** 31 - 1, 1]);
    assert.equal(session.release(last), true);
    session.end();
    assert.equal(mapped.bytes, 0);
  });

  it('of the gateway stays lent after the end of the socket: clients may still write to it', async () => {
    await allocateFor(mapped.begin(1), 8192, noPuts);
    attachments.close();
    assert.equal(mapped.bytes, 8192);
    attachments.takeBack();
    assert.equal(mapped.bytes, 0);
  });

  it('of the gateway counts as what the arena gives for it', async () => {
    const session = mapped.begin(1);
    for (let n = 0; n < CHUNK_BYTES / 4096; n++) await allocateFor(session, 1, noPuts);
    assert.equal(mapped.bytes, CHUNK_BYTES);
    await assert.rejects(allocateFor(session, 1, noPuts), { code: ErrorCode.POLICY_VIOLATION });
  });

  it('of the gateway is waited for where there is none', async () => {
    const clock = new VirtualClock();
    const puts = new DirectPuts(limits, new MemoryBudget(arenaStats, 1, clock), clock);
    const all = NativeMemory.allocate(arenaStats().capacityBytes)!;
    const session = mapped.begin(1);
    const waiting = allocateFor(session, 8192, puts);
    await clock.advance(50);
    all.release();
    await clock.advance(50);
    assert.equal(session.writable((await waiting).lease)!.byteLength, 8192);
  });

  it('of the gateway is no more than a quarter of it for all together', () => {
    const all = new MappedMemory({ maxClientBytes: Number.MAX_SAFE_INTEGER });
    const quarter = Math.floor(arenaStats().capacityBytes / 4);
    const [one, other] = [all.begin(1), all.begin(2)];
    one.check(quarter);
    assert.throws(() => one.check(quarter + 1), /a quarter of arena\.bytes/);
    one.lend(NativeMemory.allocate(quarter)!, false);
    assert.throws(() => other.check(1), /a quarter of arena\.bytes/);
    all.close();
  });

  it('is checked as a batch where it is taken, and good batches need not be looked at again', async () => {
    const batch = buildBatch([{ key: null, value: Buffer.alloc(200_000, 7), timestamp: 1n }]);
    const shared = await createSharedBuffer(CHUNK_BYTES);
    const region = await offerSharedBuffer(attachments.socketName, attachment.token, shared, 30_000);
    const split = 100_000;
    new Uint8Array(shared.buffer).set(batch.subarray(split));
    const puts = new DirectPuts(limits, new MemoryBudget(arenaStats, 1, systemClock), systemClock, 1000);
    const length = batch.byteLength - split;
    const one = { batch: batch.subarray(0, split), data: [{ at: split, region, offset: 0, length }] };
    const options = { maxUncompressedBytes: 2 ** 31 - 1, referenceMinBytes: 1000 };
    const checksOf = async () => {
      const { memory, batches } = await puts.assemble([one], attachment, 1000);
      assert.equal(batches[0]!.byteLength, batch.byteLength);
      const checks = checkBatchesSoon(new MemoryPiece(memory.retain()), options);
      const isKnown = Array.isArray(checks);
      const [check] = await checks;
      memory.release();
      memory.release();
      return { isKnown, check: check! };
    };
    const good = await checksOf();
    assert.ok(good.isKnown);
    assert.equal(good.check.error, 0);
    assert.ok(good.check.reference !== null);
    const [whole] = await checkBatchesAsync(batch, options);
    assert.deepEqual(good.check.pieceCrcs, whole!.pieceCrcs);
    assert.equal(
      good.check.pieceCrcs!.length,
      Math.ceil((batch.length - BATCH_HEADER_SIZE) / EXTENT_PIECE_BYTES),
    );
    new Uint8Array(shared.buffer)[0]! ^= 1;
    const bad = await checksOf();
    assert.equal(bad.isKnown, false, 'what is wrong is said by who knows the topic');
    assert.equal(bad.check.error, ErrorCode.CORRUPT_MESSAGE);
  });

  it('of the gateway can be put from where it is, or gathered from', async () => {
    const memory = new MemoryBudget(arenaStats, 1, systemClock);
    const puts = new DirectPuts(limits, memory, systemClock);
    attachment.session = mapped.begin(1);
    const { lease } = await allocateFor(attachment.session, 8192, puts);
    const lent = attachment.session.writable(lease)!;
    lent.bytes().fill(7);
    const whole = { batch: new Uint8Array(), data: [{ at: 0, region: -lease, offset: 100, length: 1000 }] };
    const inPlace = await puts.assemble([whole], attachment, 1000);
    assert.equal(inPlace.lease, lease);
    assert.equal(inPlace.batches[0]!.byteOffset, lent.bytes().byteOffset + 100);
    inPlace.memory.release();
    const gathered = await puts.assemble(put(-lease), attachment, 1000);
    assert.equal(gathered.lease, null);
    assert.deepEqual(
      gathered.batches[0]!,
      Uint8Array.from([...new Uint8Array(BATCH_HEADER_SIZE), ...new Uint8Array(100).fill(7)]),
    );
    gathered.memory.release();
    const bad = [
      [{ ...whole, data: [{ at: 0, region: -lease, offset: 8000, length: 1000 }] }],
      [{ ...whole, data: [{ at: 0, region: -lease - 1, offset: 0, length: 1000 }] }],
      [{ ...whole, data: [{ at: 0, region: -lease, offset: 0, length: 10 }] }],
      [{ ...whole, data: [] }],
      [whole, whole],
    ];
    for (const puts_ of bad)
      await assert.rejects(puts.assemble(puts_, attachment, 1000), { code: ErrorCode.INVALID_REQUEST });
    const region = await attached();
    const outside = [{ ...whole, data: [{ at: 0, region, offset: 0, length: 1000 }] }];
    await assert.rejects(puts.assemble(outside, attachment, 1000), { code: ErrorCode.INVALID_REQUEST });
    mapped.close();
  });
});
