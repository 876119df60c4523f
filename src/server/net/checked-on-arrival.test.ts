import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { arenaStats, type NativeMemory } from '../../native/arena.ts';
import { type BatchCheck, type CheckOptions, checkBatches, checkBatchesSoon } from '../../native/batch.ts';
import { Net } from '../../native/net.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { requestHeaderVersion } from '../../protocol/api-keys.ts';
import { type ProduceRequest, produceRequest } from '../../protocol/generated/produce-request.ts';
import { requestHeader } from '../../protocol/generated/request-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { Reader } from '../../protocol/wire/reader.ts';
import { Writer } from '../../protocol/wire/writer.ts';

const fixtures = JSON.parse(
  readFileSync(new URL('../../../../src/native/fixtures/batches.json', import.meta.url), 'utf8'),
) as Record<string, string>;
const START = 1_700_000_000_000n;
const rules = { maxUncompressedBytes: 1 << 20, nowMs: Number(START), timestampAfterMaxMs: 1e12 };

/** More than is checked at once when it has not been checked before. */
function largeBatch(records: number): Uint8Array {
  const value = Buffer.alloc(50_000, 'v');
  return buildBatch(
    Array.from({ length: records }, (_, i) => ({
      key: i === 2 ? null : Buffer.from('k'),
      value,
      timestamp: START + BigInt(i),
    })),
  );
}

function encode(version: number, topics: (Uint8Array | null)[][]): Buffer {
  const writer = new Writer();
  const header = requestHeader.create({ requestApiKey: 0, requestApiVersion: version, clientId: 'c' });
  requestHeader.write(writer, header, requestHeaderVersion(0, version));
  const topicData = topics.map((partitions) => ({
    name: 'topic',
    topicId: 'AAAAAAAAAAAAAAAAAAAABQ',
    partitionData: partitions.map((records, index) => ({ index, records })),
  }));
  produceRequest.write(writer, produceRequest.create({ acks: 1, topicData }), version);
  const body = writer.finishBytes();
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.byteLength);
  return Buffer.concat([length, body]);
}

function decode(bytes: Uint8Array, version: number): ProduceRequest {
  const reader = new Reader(bytes);
  requestHeader.read(reader, requestHeaderVersion(0, version));
  return produceRequest.read(reader, version);
}

/** Receives one frame in native memory; `seen` gets a piece for each partition's records. */
async function receive(
  version: number,
  topics: (Uint8Array | null)[][],
  referenceMinBytes: number,
  seen: (pieces: MemoryPiece[]) => void | Promise<void>,
): Promise<void> {
  const usedBefore = arenaStats().usedBytes;
  let arrived: (frame: [bytes: Uint8Array, memory: NativeMemory | null]) => void;
  const frame = new Promise<[Uint8Array, NativeMemory | null]>((resolve) => (arrived = resolve));
  const net = new Net(
    { largeFrameBytes: 16 },
    { onConnect() {}, onFrame: (_connection, bytes, memory) => arrived([bytes, memory]), onClose() {} },
  );
  net.setReferenceMinBytes(referenceMinBytes);
  const { port } = await net.listen('127.0.0.1', 0);
  const socket = connect(port, '127.0.0.1', () => socket.write(encode(version, topics)));
  try {
    const [bytes, memory] = await frame;
    assert.ok(memory);
    const pieces = decode(bytes, version)
      .topicData.flatMap(({ partitionData }) => partitionData)
      .flatMap(({ records }) => records ?? [])
      .map((one) => new MemoryPiece(memory, one.byteOffset - bytes.byteOffset, one.byteLength));
    await seen(pieces);
    memory.release();
  } finally {
    socket.destroy();
    await net.shutdown(1000);
  }
  assert.equal(arenaStats().usedBytes, usedBefore);
}

const plain = (piece: MemoryPiece, options: CheckOptions): BatchCheck[] =>
  checkBatches(Uint8Array.from(piece.bytes()), options);

describe('batches that are checked on arrival', () => {
  const all = Object.values(fixtures).map((hex) => Buffer.from(hex, 'hex'));
  const variants: CheckOptions[] = [
    { ...rules, referenceMinBytes: 0 },
    rules,
    { ...rules, requireKeys: true },
    { ...rules, timestampType: 'LogAppendTime', referenceMinBytes: 20 },
    { ...rules, maxBatchBytes: 200 },
    { ...rules, timestampAfterMaxMs: 60_000 },
    { ...rules, origin: 'broker' },
  ];

  it('get the answers that they get later, from all versions of requests', async () => {
    for (const [i, options] of variants.entries()) {
      for (const referenceMinBytes of [-1, 0]) {
        await receive(
          3 + ((2 * i + referenceMinBytes + 1) % 11),
          [all, [null], all],
          referenceMinBytes,
          async (pieces) => {
            assert.equal(pieces.length, 2 * all.length);
            for (const piece of pieces)
              assert.deepEqual(await checkBatchesSoon(piece, options), plain(piece, options));
          },
        );
      }
    }
  });

  it('are answered at once although they are large, each of them once', async () => {
    for (let version = 3; version <= 13; version++) {
      await receive(version, [[largeBatch(3), all[0]!], [largeBatch(2)]], 20_000, async (pieces) => {
        for (const piece of [pieces[2]!, pieces[0]!]) {
          const options = { ...rules, referenceMinBytes: 40_000 };
          const found = checkBatchesSoon(piece, options);
          assert.ok(Array.isArray(found));
          assert.ok(found[0]?.reference);
          assert.deepEqual(found, plain(piece, options));
          const again = checkBatchesSoon(piece, options);
          assert.ok(again instanceof Promise);
          assert.deepEqual(await again, found);
        }
      });
    }
  });

  it('are left to a worker when their topic refuses them, or wants a reference batch that is not there', async () => {
    const later: CheckOptions[] = [
      { ...rules, requireKeys: true },
      { ...rules, maxBatchBytes: 1000 },
      { ...rules, timestampAfterMaxMs: 1 },
      { ...rules, referenceMinBytes: 0 },
    ];
    for (const options of later) {
      await receive(9, [[largeBatch(3)]], -1, async ([piece]) => {
        const found = checkBatchesSoon(piece!, options);
        assert.ok(found instanceof Promise);
        assert.deepEqual(await found, plain(piece!, options));
      });
    }
  });

  it('are not found for copies, nor for a part of them', async () => {
    await receive(9, [[largeBatch(3)]], -1, async ([piece]) => {
      const copy = checkBatchesSoon(Uint8Array.from(piece!.bytes()), rules);
      assert.ok(copy instanceof Promise);
      const part = checkBatchesSoon(
        new MemoryPiece(piece!.memory, piece!.offset, piece!.byteLength - 1),
        rules,
      );
      assert.ok(part instanceof Promise);
      assert.equal((await part)[0]?.error, 2);
      assert.deepEqual(await copy, checkBatchesSoon(piece!, rules));
    });
  });
});
