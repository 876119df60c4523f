import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { MemoryBudget } from '../partitions/memory-budget.ts';
import { TestBroker, topicConfig } from '../partitions/testing.ts';
import { Attachments } from './attachments.ts';
import { DirectPuts } from './direct-puts.ts';
import { allocateFor, MappedMemory } from './mapped-memory.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const LENT_BYTES = 100_000;

describe('batches that are put from where their client has written them', () => {
  let directory: string;
  let broker: TestBroker;
  const mapped = new MappedMemory({ maxClientBytes: 1 << 20 });
  const limits = { maxRequestBytes: 1 << 20, maxRanges: 100 };
  const puts = new DirectPuts(limits, new MemoryBudget(arenaStats, 1, systemClock), systemClock);
  let attachments: Attachments;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'puts-in-place-'));
    broker = await TestBroker.start(directory, [TOPIC], topicConfig());
    attachments = new Attachments({
      ...{ maxRegions: 4, maxRegionBytes: 1 << 30, users: [], allowsMapping: () => false },
      ...{ mappedListeners: new Set<string>(), mapped, logger: silentLogger },
    });
  });
  afterEach(async () => {
    attachments.close();
    await broker.stop();
    attachments.takeBack();
    rmSync(directory, { recursive: true });
  });

  it('stay what they are when they are put again', async () => {
    const attachment = attachments.attach({}, new AbortController().signal, true);
    attachment.session = mapped.begin(1);
    const partition = broker.partitions.find('t', 0)!;
    const plain = () => buildBatch([{ key: null, value: Buffer.from('other'), timestamp: 1n }]);
    const { lease } = await allocateFor(attachment.session, LENT_BYTES, puts);
    const identity = { producerId: 1n, producerEpoch: 0, baseSequence: 0 };
    const record = { key: null, value: Buffer.alloc(LENT_BYTES / 2, 1), timestamp: 1n };
    const batch = buildBatch([record], identity);
    attachment.session.writable(lease)!.bytes().set(batch);
    const data = [{ at: 0, region: -lease, offset: 0, length: batch.byteLength }];
    const put = async () => {
      const { memory, batches } = await puts.assemble([{ batch: new Uint8Array(), data }], attachment, 1000);
      const { baseOffset } = await partition.produce(batches[0]!, memory, true);
      memory.release();
      return baseOffset;
    };
    assert.equal(await put(), 0n);
    await partition.produce(plain(), null, true);
    // As after an answer that has said it was not durable.
    assert.equal(await put(), 0n);
    const { result, bytes } = await broker.fetch('t', 0, 0n);
    assert.equal(result.errorCode, ErrorCode.NONE);
    const offsets = Array.from(splitBatches(bytes), ({ header }) => header.baseOffset);
    assert.deepEqual(offsets, [0n, 1n]);
  });
});
