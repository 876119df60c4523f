import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c } from '../../native/batch.ts';
import { silentLogger } from '../../util/logger.ts';
import { OpenFiles } from './open-files.ts';
import { PartitionPayloads } from './partition-payloads.ts';
import type { RecoveryInput, Reference } from './payload-recovery.ts';
import { TestFiles } from './testing.ts';

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
