import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { crc32c } from '../../native/batch.ts';
import { silentLogger } from '../../util/logger.ts';
import { OpenFiles } from './open-files.ts';
import { PartitionPayloads } from './partition-payloads.ts';
import { PayloadUnreachable, type RecoveryInput, type Reference } from './payload-recovery.ts';
import { refusalOf, TestFiles } from './testing.ts';

const BYTES = 40;
const PAYLOAD = '00000000000000000000.payload';
const LIST = '00000000000000000000.extents';

describe('Payload at a start that lacks something', () => {
  let directory: string;
  let files: TestFiles;
  let log: Reference[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'payload-recovery-'));
    files = new TestFiles();
    log = [];
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  const make = (segmentBytes: number) =>
    new PartitionPayloads(directory, new OpenFiles(files, 4), { segmentBytes }, silentLogger);

  const names = () => readdirSync(join(directory, 'payload')).sort();

  /** Two extents, as they are before they are closed. */
  async function filled(segmentBytes: number): Promise<PartitionPayloads> {
    const payloads = make(segmentBytes);
    for (let i = 0; i < 2; i++) {
      const bytes = Buffer.alloc(BYTES, i);
      const extent = payloads.append(bytes);
      await extent.written;
      const at = { baseOffset: BigInt(i), lastOffset: BigInt(i) };
      extent.commit(at.baseOffset, at.lastOffset);
      const { segmentId, position, length } = extent;
      log.push({ ...at, segmentId, position, length, headerCrc: 0, batchCrc: crc32c(bytes) });
    }
    return payloads;
  }

  async function recovered(segmentBytes: number, input: Partial<RecoveryInput>): Promise<PartitionPayloads> {
    const payloads = make(segmentBytes);
    const cut = await payloads.recover({
      logStartOffset: 0n,
      logEndOffset: 2n,
      recoveryPoint: null,
      async *references(from) {
        for (const reference of log) if (reference.lastOffset >= from) yield reference;
      },
      truncate: () => assert.fail('nothing is lost'),
      ...input,
    });
    assert.equal(cut, null);
    // The last is there in any case.
    (await payloads.read(log[1]!)).memory.release();
    return payloads;
  }

  it('is there although what no record refers to cannot be removed, which is tried again', async () => {
    await (await filled(BYTES)).close();
    files.refusedRemovals = 1;
    const payloads = await recovered(BYTES, { logStartOffset: 1n });
    assert.ok(names().includes(PAYLOAD));
    await payloads.reclaimBefore(1n);
    assert.ok(!names().includes(PAYLOAD));
    await payloads.close();
  });

  it('is looked at again when there was no memory for that', async () => {
    await filled(4 * BYTES);
    files.refusedReads = 1;
    await assert.rejects(recovered(4 * BYTES, { recoveryPoint: 0n }), PayloadUnreachable);
    await (await recovered(4 * BYTES, { recoveryPoint: 0n })).close();
  });

  it('is there although a segment cannot be completed for want of space', async () => {
    await filled(4 * BYTES);
    files.refusedTruncates = 1;
    files.truncateRefusal = refusalOf('ENOSPC', 'no space left on device');
    const { syncs } = files;
    const payloads = await recovered(4 * BYTES, { recoveryPoint: 0n });
    assert.deepEqual(names(), [PAYLOAD]);
    // Behind the recovery point, which is raised now, nobody would look for it.
    assert.equal(files.syncs, syncs + 1);
    payloads.completeAll();
    await payloads.settled();
    assert.deepEqual(names(), [LIST, PAYLOAD]);
    await payloads.close();
  });
});

describe('recovery of payload that fails', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'payload-recovery-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const over = (files: TestFiles) =>
    new PartitionPayloads(directory, new OpenFiles(files, 4), { segmentBytes: 1 << 20 }, silentLogger);

  it('is done by the next start, also after a clean end', async () => {
    const files = new TestFiles();
    const payloads = over(files);
    const bytes = Buffer.alloc(40, 1);
    const extent = payloads.append(bytes);
    await extent.written;
    extent.commit(0n, 0n);
    const { segmentId, position, length } = extent;
    const crcs = { headerCrc: 0, batchCrc: crc32c(bytes) };
    const reference: Reference = { baseOffset: 0n, lastOffset: 0n, segmentId, position, length, ...crcs };
    const input = (recoveryPoint: bigint | null): RecoveryInput => ({
      ...{ logStartOffset: 0n, logEndOffset: 1n, recoveryPoint },
      references: async function* () {
        yield reference;
      },
      truncate: async () => {},
    });
    await payloads.flush();
    payloads.abandon();
    // What a crash has left.
    for (const name of readdirSync(join(directory, 'payload')))
      truncateSync(join(directory, 'payload', name), 10);
    const refusing = new TestFiles();
    refusing.open = () => Promise.reject(Object.assign(new Error('permission denied'), { code: 'EACCES' }));
    await assert.rejects(over(refusing).recover(input(0n)), { code: 'EACCES' });
    const again = over(files);
    assert.equal(await again.recover(input(null)), 0n);
    await again.close();
  });
});
