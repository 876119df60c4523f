import { LogError, LogErrorCode } from '../../backend/log/errors.ts';
import type { ReadOptions } from '../../backend/log/log-reader.ts';
import { largest } from '../../backend/log/offsets.ts';
import type { PartitionLog } from '../../backend/log/partition-log.ts';
import type { LogReferences } from '../../backend/payload/log-references.ts';
import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { Reference } from '../../backend/payload/payload-recovery.ts';
import type { Logger } from '../../util/logger.ts';
import { REFERENCE_ATTRIBUTE, readDivertedBatches } from './diverted-batch.ts';
import { dropLostBatches } from './lost-batches.ts';

const SCAN_STEP_BYTES = 1 << 20;

/** The references that a log holds from an offset on, as far as they are still there; reads no payload. */
export async function* referencesOf(
  log: PartitionLog,
  from: bigint,
  options: Pick<ReadOptions, 'passesDamage'> = {},
): AsyncGenerator<Reference> {
  for (let offset = from; offset < log.writtenEndOffset; ) {
    // Records may be deleted while it is read.
    offset = largest(offset, log.logStartOffset);
    const { batches } = await log.read(offset, SCAN_STEP_BYTES, options);
    const last = batches[batches.length - 1];
    if (last === undefined) return;
    const references = batches.filter((batch) => (batch.attributes & REFERENCE_ATTRIBUTE) !== 0);
    yield* (await readDivertedBatches(references)).values();
    offset = last.lastOffset + 1n;
  }
}

/** What a log refers to, for places of payload. */
export class ReferencesOfLog implements LogReferences {
  readonly #log: PartitionLog;

  constructor(log: PartitionLog) {
    this.#log = log;
  }

  get endOffset(): bigint {
    return this.#log.writtenEndOffset;
  }

  from(offset: bigint): AsyncIterable<Reference> {
    return referencesOf(this.#log, offset, { passesDamage: true });
  }
}

/**
 * Brings payload and log of a partition together at the start: payload without a reference goes, and the log ends before the
 * first reference beyond its recovery point whose payload was lost.
 */
export async function recoverPayloads(
  log: PartitionLog,
  payloads: PartitionPayloads,
  logger: Logger,
): Promise<void> {
  const { topic, partition } = log;
  await payloads.recover({
    logStartOffset: log.logStartOffset,
    logEndOffset: log.writtenEndOffset,
    recoveryPoint: log.recoveredFrom,
    references: (from) => referencesOf(log, from, { passesDamage: true }),
    truncate: async (cut) => {
      logger.warn(
        { topic, partition, offset: String(cut) },
        'The log ends here: the payload of what follows was lost in a crash',
      );
      await log.truncateTo(cut);
    },
  });
  await dropLostBatches(log, payloads, logger);
  // What compaction had dropped of the log when the process died is still there.
  const isCompacted = log.config.cleanupCompact || log.compaction.cleanedOffset > 0n;
  const mayHoldDead = log.recoveredFrom !== null || payloads.mayHoldDead;
  if (isCompacted && mayHoldDead && !payloads.isEmpty) await retainReferenced(log, payloads, logger);
}

async function retainReferenced(
  log: PartitionLog,
  payloads: PartitionPayloads,
  logger: Logger,
): Promise<void> {
  try {
    await payloads.retainOnly(referencesOf(log, log.logStartOffset));
  } catch (error) {
    if (!(error instanceof LogError) || error.code !== LogErrorCode.CORRUPT_MESSAGE) throw error;
    const { topic, partition } = log;
    logger.error(
      { topic, partition, err: error },
      'Payload to which nothing refers stays: the log is damaged',
    );
  }
}
