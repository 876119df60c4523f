import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { arenaStats } from '../../native/arena.ts';
import { crc32c, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import { compress } from '../../native/codec.ts';
import type { Blocks } from '../../native/direct.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import {
  copyOfSameBatch,
  OF_SAME_BATCH_SIZE,
  PAYLOAD_REFERENCE_SIZE,
} from '../../protocol/records/payload-reference.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { MemoryBudget } from '../partitions/memory-budget.ts';
import { gather, TestBroker, topicConfig } from '../partitions/testing.ts';
import { type AnswerRoom, DirectGets, type GetItem, type Got } from './direct-gets.ts';
import { LocalPayloads } from './payload-source.ts';
import { ReferenceKeys } from './reference-keys.ts';
import { signedReferences } from './references.fixture.ts';
import { signBatches } from './signed-batches.ts';

const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAABQ';
const TOPIC = { name: 't', id: TOPIC_ID, partitions: [{ index: 0, leaderEpoch: 0 }] };
const WHO = 'User:ANONYMOUS';
const VALUE_BYTES = 3000;

function valueFor(seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: VALUE_BYTES + seed }, (_, i) => (i * 31 + seed) & 0xff));
}

/** Counts what answers hold. */
class TestRoom implements AnswerRoom {
  bytes = 0;
  most = 0;
  ended = false;
  /** Answers wait for it. */
  gate: Promise<void> | undefined;

  acquire(bytes: number): Promise<void> | undefined {
    this.bytes += bytes;
    this.most = Math.max(this.most, this.bytes);
    return this.gate;
  }

  release(bytes: number): void {
    this.bytes -= bytes;
  }
}

describe('gets of direct clients', () => {
  let directory: string;
  let broker: TestBroker;
  let keys: ReferenceKeys;
  let gets: DirectGets;
  let room: TestRoom;
  let budget: MemoryBudget;
  let used: number;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gets-'));
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({ 'payload.min.bytes': '10' }));
    keys = new ReferenceKeys(60_000, systemClock);
    room = new TestRoom();
    used = 0;
    budget = new MemoryBudget(
      () => ({ capacityBytes: arenaStats().capacityBytes, usedBytes: used }),
      0.75,
      systemClock,
    );
    gets = newGets();
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0, 'all memory is given back');
  });

  const newGets = () =>
    new DirectGets({
      source: new LocalPayloads(broker.partitions),
      keys,
      limits: { maxRequestBytes: 1 << 20, maxRanges: 1000 },
      memory: budget,
      logger: silentLogger,
    });
  const partition = () => broker.partitions.find('t', 0)!;

  /** Produces batches of values; returns their references as a direct listener gives them out. */
  async function produce(batches: number[][], codec: 0 | 1 = 0): Promise<Uint8Array[]> {
    for (const seeds of batches) {
      const records = seeds.map((seed) => ({
        key: null,
        value: valueFor(seed),
        timestamp: BigInt(Date.now()),
      }));
      const options =
        codec === 0 ? {} : { attributes: codec, compress: (bytes: Uint8Array) => compress(codec, bytes) };
      await partition().produce(buildBatch(records, options), null, false);
    }
    return signedReferences(partition(), { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 });
  }

  const item = (reference: Uint8Array, ranges: Blocks[] = []): GetItem => ({
    reference,
    ranges,
    region: -1,
    targetOffset: 0,
  });

  it('give the data in the order of the items, whatever extents it is in', async () => {
    const references = await produce([[0, 1], [2], [3, 4]]);
    const order = [4, 0, 2, 1, 3, 0];
    const { items, data } = await gets.get(
      order.map((i) => item(references[i]!)),
      WHO,
      null,
      room,
    );
    const values = order.map(valueFor);
    assert.deepEqual(
      items.map(({ errorCode, length, crc }) => [errorCode, length, crc]),
      values.map((value) => [0, value.byteLength, crc32c(value)]),
    );
    assert.deepEqual(await gather(data), Buffer.concat(values));
  });

  it('take references of one batch that are no more than what they differ in', async () => {
    const references = await produce([
      [0, 1, 2],
      [3, 4],
    ]);
    const short = (reference: Uint8Array) => {
      const bytes = new Uint8Array(OF_SAME_BATCH_SIZE);
      copyOfSameBatch(reference, 0, bytes, 0);
      return bytes;
    };
    const of = (i: number) => references[i]!;
    const wanted = [of(1), short(of(0)), short(of(2)), of(3), short(of(4))];
    const { items, data } = await gets.get(
      wanted.map((reference) => item(reference)),
      WHO,
      null,
      room,
    );
    const values = [1, 0, 2, 3, 4].map(valueFor);
    assert.deepEqual(
      items.map(({ errorCode, crc }) => [errorCode, crc]),
      values.map((value) => [0, crc32c(value)]),
    );
    assert.deepEqual(await gather(data), Buffer.concat(values));

    // They are worth no more than the whole one before them, and stand for nothing outside its extent.
    const forged = Buffer.from(of(1));
    forged[PAYLOAD_REFERENCE_SIZE + 79]! ^= 1;
    const outside = short(of(2));
    outside.fill(0xff, 0, 4);
    const codesOf = async (...some: Uint8Array[]) => {
      const got = await gets.get(
        some.map((reference) => item(reference, [{ offset: 0, count: 1, block: 1, stride: 1 }])),
        WHO,
        null,
        room,
      );
      for (const { memory } of got.data) memory.release();
      return got.items.map(({ errorCode }) => errorCode);
    };
    const refused = ErrorCode.TOPIC_AUTHORIZATION_FAILED;
    assert.deepEqual(await codesOf(short(of(0))), [ErrorCode.INVALID_REQUEST]);
    assert.deepEqual(await codesOf(forged, short(of(0)), of(1), short(of(0))), [refused, refused, 0, 0]);
    assert.deepEqual(await codesOf(of(1), outside), [0, ErrorCode.KAFKA_STORAGE_ERROR]);
  });

  for (const codec of [0, 1] as const) {
    it(`give what plain slices of the value are, for any ranges (codec ${codec})`, async () => {
      const references = await produce([[5, 6, 7]], codec);
      const range = fc
        .record({
          offset: fc.nat(VALUE_BYTES),
          block: fc.integer({ min: 1, max: 200 }),
          count: fc.integer({ min: 1, max: 9 }),
          gap: fc.nat(100),
        })
        .map(({ gap, ...rest }) => ({ ...rest, stride: rest.block + gap }))
        .filter(({ offset, block, count, stride }) => offset + (count - 1) * stride + block <= VALUE_BYTES);
      await fc.assert(
        fc.asyncProperty(
          fc.nat(2),
          fc.array(range, { minLength: 1, maxLength: 5 }),
          async (which, ranges) => {
            const { items, data } = await gets.get([item(references[which]!, ranges)], WHO, null, room);
            const value = valueFor(5 + which);
            const expected = Buffer.concat(
              ranges.flatMap(({ offset, block, count, stride }) =>
                Array.from({ length: count }, (_, i) =>
                  value.subarray(offset + i * stride, offset + i * stride + block),
                ),
              ),
            );
            assert.deepEqual(await gather(data), expected);
            assert.equal(items[0]!.crc, crc32c(expected));
          },
        ),
        { numRuns: 40 },
      );
    });
  }

  it('read only the pieces that hold the parts that are wanted, and find damage in them', async () => {
    const size = 20 * EXTENT_PIECE_BYTES;
    const large = (seed: number) =>
      Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 13 + (i >> 9) + seed) & 0xff));
    const records = [1, 2].map((seed) => ({ key: null, value: large(seed), timestamp: BigInt(Date.now()) }));
    await partition().produce(buildBatch(records), null, false);
    const references = await produce([]);
    // Nothing of it is in memory any more.
    await broker.stop();
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({ 'payload.min.bytes': '10' }));
    gets = newGets();
    const slice = (offset: number, block: number): Blocks => ({ offset, count: 1, block, stride: block });
    const strided = { offset: 100, count: 4, block: 300, stride: 5 * EXTENT_PIECE_BYTES };
    const wanted: [number, Blocks[]][] = [
      [0, [slice(EXTENT_PIECE_BYTES - 5, 10)]],
      [1, [slice(size - 7, 7), slice(0, 1), strided]],
      [0, [strided]],
    ];
    const { items, data } = await gets.get(
      wanted.map(([which, ranges]) => item(references[which]!, ranges)),
      WHO,
      null,
      room,
    );
    const expected = wanted.map(([which, ranges]) =>
      Buffer.concat(
        ranges.flatMap(({ offset, block, count, stride }) =>
          Array.from({ length: count }, (_, i) =>
            large(which + 1).subarray(offset + i * stride, offset + i * stride + block),
          ),
        ),
      ),
    );
    assert.deepEqual(await gather(data), Buffer.concat(expected));
    assert.deepEqual(
      items.map(({ errorCode, crc }) => [errorCode, crc]),
      expected.map((bytes) => [0, crc32c(bytes)]),
    );
    const { bytesRead } = broker.store.stats();
    assert.ok(bytesRead < size, `${bytesRead} of ${2 * size} bytes were read`);
    // What was checked when it was read is copied from where it is, as what was appended is.
    const source = new LocalPayloads(broker.partitions);
    const signed = keys.verify(references[0]!, WHO);
    const { valueOffset } = signed.reference;
    const isHere = (blocks: Blocks[]) => {
      const parts = source.findParts(signed, [{ valueOffset, blocks }]);
      parts?.release();
      return parts !== null;
    };
    assert.ok(isHere([slice(EXTENT_PIECE_BYTES - 5, 10)]));
    assert.ok(!isHere([slice(size / 2 + 3 * EXTENT_PIECE_BYTES, 10)]));

    await broker.stop();
    const [file] = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.payload'),
    );
    const path = join(directory, file!);
    const bytes = readFileSync(path);
    bytes[bytes.indexOf(large(1).subarray(0, 4096)) + 10]! ^= 1;
    writeFileSync(path, bytes);
    broker = await TestBroker.start(directory, [TOPIC], topicConfig({ 'payload.min.bytes': '10' }));
    gets = newGets();
    const after = await gets.get(
      [item(references[0]!, [slice(5, 5)]), item(references[1]!, [slice(size / 2, 5)])],
      WHO,
      null,
      room,
    );
    // Items of one extent share its reads, and what is wrong with them.
    assert.deepEqual(
      after.items.map(({ errorCode }) => errorCode),
      [ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.KAFKA_STORAGE_ERROR],
    );
    const other = await gets.get([item(references[1]!, [slice(size / 2, 5)])], WHO, null, room);
    assert.ok((await gather(other.data)).equals(large(2).subarray(size / 2, size / 2 + 5)));
  });

  it('have an error of their own for each item that cannot be had', async () => {
    const references = await produce([[0], [1]]);
    await partition().deleteRecordsBefore(1n);
    const outside = { offset: 0, count: 2, block: 2000, stride: 2000 };
    const { items, data } = await gets.get(
      [
        item(references[0]!),
        item(references[1]!, [outside]),
        item(new Uint8Array(144)),
        item(references[1]!),
      ],
      WHO,
      null,
      room,
    );
    assert.deepEqual(
      items.map(({ errorCode }) => errorCode),
      [
        ErrorCode.OFFSET_OUT_OF_RANGE,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.NONE,
      ],
    );
    assert.deepEqual(await gather(data), valueFor(1));
    const foreign = await gets.get([item(references[1]!)], 'User:other', null, room);
    assert.equal(foreign.items[0]!.errorCode, ErrorCode.TOPIC_AUTHORIZATION_FAILED);
  });

  it('expand nothing beyond the memory, and within its budget', async () => {
    const [reference] = await produce([[5]], 1);
    used = arenaStats().capacityBytes;
    const waiting = gets.get([item(reference!)], WHO, null, room);
    assert.equal(budget.waiters, 1);
    used = 0;
    assert.deepEqual(await gather((await waiting).data), valueFor(5));
    used = arenaStats().capacityBytes;
    const left = gets.get([item(reference!)], WHO, null, room);
    room.ended = true;
    await assert.rejects(left, { code: ErrorCode.REQUEST_TIMED_OUT });
    assert.equal(budget.waiters, 0);
    // As if it became more than there is memory for.
    const value = Buffer.from(reference!.subarray(0, PAYLOAD_REFERENCE_SIZE));
    value.writeUInt32BE(arenaStats().capacityBytes, 56);
    const context = { keys, principal: WHO, topicId: TOPIC_ID, partition: 0 };
    const bomb = readRecords(signBatches(buildBatch([{ key: null, value }]), context))[0]!.value;
    await assert.rejects(gets.get([item(bomb!)], WHO, null, room), /read or expanded for one request/);
  });

  it('hold the memory of their answers until the client has taken them, and wait for others’', async () => {
    const references = await produce([[0, 1], [2]]);
    const first = await gets.get([item(references[0]!), item(references[2]!)], WHO, null, room);
    assert.ok(first.heldBytes > 3 * VALUE_BYTES, 'whole extents count');
    assert.equal(room.bytes, first.heldBytes);
    await gather(first.data);
    let open = () => {};
    room.gate = new Promise((resolve) => {
      open = resolve;
    });
    let got = false;
    const second = gets.get([item(references[1]!)], WHO, null, room).then((result) => {
      got = true;
      return result;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(got, false);
    open();
    await gather((await second).data);
    const before = room.bytes;
    await partition().deleteRecordsBefore(3n);
    const gone = await gets.get([item(references[1]!)], WHO, null, room);
    assert.equal(gone.items[0]!.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
    assert.equal(room.bytes, before, 'an answer without data holds nothing');
  });

  it('hold nothing while they wait for room, and nothing that one before them on their connection waits for', async () => {
    const [compressed, plain] = await produce([[5]], 1).then(() => produce([[6]]));
    const heldBytes = () => arenaStats().usedBytes - broker.store.stats().cachedBytes;
    const idleBytes = heldBytes();
    const settled: string[] = [];
    const note = (what: string) => (got: Got) => {
      settled.push(what);
      return got;
    };
    used = arenaStats().capacityBytes;
    const waiting = gets.get([item(plain!), item(compressed!)], WHO, null, room).then(note('first'));
    const behind = gets.get([item(plain!)], WHO, null, room).then(note('second'));
    const elsewhere = await gets.get([item(plain!)], WHO, null, new TestRoom());
    await gather(elsewhere.data);
    assert.deepEqual(settled, [], 'what needs no memory waits only behind others of its connection');
    assert.equal(heldBytes(), idleBytes, 'memory that others may wait for is not held');
    used = 0;
    const first = await waiting;
    assert.deepEqual(await gather(first.data), Buffer.concat([valueFor(6), valueFor(5)]));
    assert.deepEqual(await gather((await behind).data), valueFor(6));
  });

  it('are refused as a whole above the limits', async () => {
    const [reference] = await produce([[0]]);
    const blocks = { offset: 0, count: 1001, block: 1, stride: 1 };
    await assert.rejects(
      gets.get([item(reference!, [blocks])], WHO, null, room),
      /1001 ranges in one request/,
    );
    const many = Array.from({ length: 400 }, () => item(reference!));
    await assert.rejects(gets.get(many, WHO, null, room), /bytes in one request/);
  });
});
