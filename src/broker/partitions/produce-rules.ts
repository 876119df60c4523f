import { LogError } from '../../backend/log/errors.ts';
import type { BatchCheck, CheckOptions } from '../../native/batch.ts';
import type { Codec } from '../../native/codec.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { PartitionConfig } from './config.ts';

/** Batches that decompress to more than this are refused. */
const MAX_UNCOMPRESSED_BYTES = 2 ** 30;
const COMPRESSION_MASK = 0x07;
const TRANSACTIONAL = 0x10;

/** What Kafka says of a batch with such records; what is wrong with each is said there. */
const INVALID_TIMESTAMPS = 'One or more records have been rejected due to invalid timestamp';

/** Why a batch was not appended, in Kafka's terms. */
export class ProduceError extends ApiError {
  /** The records at fault, by their index in the batch (KIP-467). */
  readonly records: readonly { index: number; message: string | null }[];

  constructor(code: number, message: string, records: ProduceError['records'] = []) {
    super(code as ErrorCode, message);
    this.records = records;
  }
}

/** The error as clients are told: anything that is not an answer of the protocol is trouble with the storage. */
export function toProduceError(error: unknown): ProduceError {
  if (error instanceof ProduceError) return error;
  if (error instanceof LogError) return new ProduceError(error.code, error.message);
  return new ProduceError(
    ErrorCode.KAFKA_STORAGE_ERROR,
    error instanceof Error ? error.message : String(error),
  );
}

/** The compression of a batch, from its attributes. */
export function codecOf(attributes: number): Codec {
  return (attributes & COMPRESSION_MASK) as Codec;
}

/** The rules of a topic for what is produced to it. */
export function checkOptions(config: PartitionConfig, nowMs: number): CheckOptions {
  return {
    maxUncompressedBytes: MAX_UNCOMPRESSED_BYTES,
    maxBatchBytes: config.maxMessageBytes,
    requireKeys: config.compacted,
    timestampType: config.logAppendTime ? 'LogAppendTime' : 'CreateTime',
    nowMs,
    timestampBeforeMaxMs: config.timestampBeforeMaxMs,
    timestampAfterMaxMs: config.timestampAfterMaxMs,
    referenceMinBytes: config.payloadMinBytes < 0 ? Number.POSITIVE_INFINITY : config.payloadMinBytes,
    onlyFirst: true, // others are refused
  };
}

/**
 * The one batch that a produced partition holds, after its check.
 * @param inTransaction whether it was found to belong to an open transaction
 * @throws ProduceError if it is not acceptable, or not one
 */
export function acceptable(
  checks: readonly BatchCheck[],
  length: number,
  inTransaction: boolean,
): BatchCheck {
  const check = checks[0];
  if (check === undefined)
    throw new ProduceError(ErrorCode.INVALID_RECORD, 'A partition needs one record batch');
  if (check.error !== ErrorCode.NONE) {
    const message = check.errorMessage ?? 'The record batch is not acceptable';
    const records = check.errorRecords.map((index) => ({ index, message }));
    throw new ProduceError(check.error, invalidTimestamps(check) ? INVALID_TIMESTAMPS : message, records);
  }
  if (check.sizeBytes !== length) {
    throw new ProduceError(ErrorCode.INVALID_RECORD, 'A partition needs exactly one record batch');
  }
  if ((check.attributes & TRANSACTIONAL) !== 0 && !inTransaction) {
    const message = 'Transactional records need a request that names their transaction';
    throw new ProduceError(ErrorCode.INVALID_TXN_STATE, message);
  }
  return check;
}

function invalidTimestamps({ error, errorRecords }: BatchCheck): boolean {
  return error === ErrorCode.INVALID_TIMESTAMP && errorRecords.length > 0;
}
