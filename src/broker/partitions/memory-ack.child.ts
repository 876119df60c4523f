// What memory-ack.test.ts runs in a process of its own, with shared memory: memory-ack.child.js <directory> <name of shared memory>
import assert from 'node:assert/strict';
import { arenaShared, configureArena } from '../../native/arena.ts';
import { Codec, compress } from '../../native/codec.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { TestBroker, topicConfig } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const [directory, name] = process.argv.slice(2) as [string, string];
configureArena(64 << 20, name);
assert.equal(arenaShared().shared, true);
const broker = await TestBroker.start(directory, [TOPIC], topicConfig());
const partition = broker.partitions.find('t', 0)!;

function batchOf(value: string | Buffer, codec: Codec = Codec.NONE): Uint8Array {
  const records = [{ key: null, value: Buffer.from(value) }];
  const timestamp = BigInt(Date.now());
  if (codec === Codec.NONE) return buildBatch(records, { timestamp });
  return buildBatch(records, {
    timestamp,
    attributes: codec,
    compress: (plain) => compress(codec, plain),
  });
}

const produce = (batch: Uint8Array) => partition.produce(batch, null, false);

const first = produce(batchOf('first'));
assert.ok(first instanceof Promise, 'its file is still to be made');
assert.equal((await first).baseOffset, 0n);

const second = produce(batchOf('second'));
assert.deepEqual(second, { baseOffset: 1n, logAppendTimeMs: -1n });
assert.equal(partition.highWatermark, 2n);
const flushed = partition.produce(batchOf('flushed'), null, true);
assert.ok(flushed instanceof Promise, 'memory is not the device');
assert.equal((await flushed).baseOffset, 2n);

const damaged = batchOf('damaged');
damaged[70]! ^= 1;
await assert.rejects(async () => produce(damaged), { code: ErrorCode.CORRUPT_MESSAGE });

// What is checked on a thread holds up what comes behind it.
const slow = produce(batchOf(Buffer.alloc(1_000_000, 'x'), Codec.GZIP));
const behind = produce(batchOf('behind'));
assert.ok(slow instanceof Promise && behind instanceof Promise);
assert.deepEqual([(await slow).baseOffset, (await behind).baseOffset], [3n, 4n]);

const fetched = broker.fetch('t', 0, 5n, { maxWaitMs: 60_000 });
assert.equal(partition.waiters.size, 1);
const woke = produce(batchOf('awaited'));
assert.ok(woke instanceof Promise, 'the fetch goes first');
assert.equal((await woke).baseOffset, 5n);
assert.equal((await fetched).result.highWatermark, 6n);
assert.ok(!(produce(batchOf('last')) instanceof Promise));

await broker.stop();
