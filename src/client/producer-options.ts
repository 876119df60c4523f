import { Codec } from '../native/codec.ts';
import { DirectError } from './errors.ts';

/** By the names that Kafka's clients have for them. */
export const CODECS = {
  none: Codec.NONE,
  gzip: Codec.GZIP,
  snappy: Codec.SNAPPY,
  lz4: Codec.LZ4,
  zstd: Codec.ZSTD,
} as const;

export interface ProducerOptions {
  /** Events of one batch; default 128. */
  batchSize?: number;
  /** Bytes at which a batch is full; larger events have one of their own. Default 4 MiB. */
  batchBytes?: number;
  /** How long a batch may wait for more events, in milliseconds; 'adaptive' (default): while the one before is under way. */
  lingerMs?: number | 'adaptive';
  /** Batches under way for one partition at the same time, 1 to 5; default 5. 1 keeps the order of a producer that is not idempotent where batches are sent again. */
  maxInFlight?: number;
  /** Bytes pushed and not yet acknowledged, above which pushes wait. Default 256 MiB; one event may exceed it. */
  maxBufferedBytes?: number;
  /** How long a push may wait for room; default 60 s. */
  maxBlockMs?: number;
  /** How long an event may take until it is acknowledged, attempts included; default 120 s. */
  deliveryTimeoutMs?: number;
  /** 'all' (default): when it is as durable as the topic promises; 1: when it is written. */
  acks?: 'all' | 1;
  /** No duplicates, no gaps and no other order by attempts that were made again. Default true; needs acks 'all'. */
  idempotent?: boolean;
  /**
   * Of batches whose data is small: metadata, keys and that data together. Batches with larger data stay as they are, so that parts of it can be had. Default
   * none.
   */
  compression?: keyof typeof CODECS;
  /** Events are pushed in transactions, under this name: whoever begins under it fences those before. Default none. */
  transactionalId?: string;
  /** How long a transaction may take before the gateway aborts it; default 60 s. */
  transactionTimeoutMs?: number;
}

export type CheckedProducerOptions = Required<Omit<ProducerOptions, 'transactionalId'>> & {
  readonly transactionalId: string | null;
};

const MAX_BATCH_BYTES = 1 << 30;

/** Options with their defaults. @throws DirectError INVALID_ARGUMENT */
export function checkProducerOptions(options: ProducerOptions): CheckedProducerOptions {
  const checked = {
    batchSize: 128,
    batchBytes: 4 << 20,
    lingerMs: 'adaptive' as const,
    maxInFlight: 5,
    maxBufferedBytes: 256 << 20,
    maxBlockMs: 60_000,
    deliveryTimeoutMs: 120_000,
    acks: 'all' as const,
    idempotent: options.acks !== 1,
    compression: 'none' as const,
    transactionTimeoutMs: 60_000,
    ...options,
    transactionalId: options.transactionalId ?? null,
  };
  const { acks, idempotent, transactionalId, maxInFlight, lingerMs } = checked;
  if (!Object.hasOwn(CODECS, checked.compression)) throw invalid(`compression is ${checked.compression}`);
  if (transactionalId === '') throw invalid('transactionalId is empty');
  if (transactionalId !== null && !idempotent) throw invalid('a transactional producer is idempotent');
  if (idempotent && acks !== 'all') throw invalid('an idempotent producer needs acks "all"');
  if (!(maxInFlight >= 1 && maxInFlight <= 5)) throw invalid(`maxInFlight is ${maxInFlight}, not 1 to 5`);
  if (lingerMs !== 'adaptive' && !(lingerMs >= 0)) throw invalid(`lingerMs is ${lingerMs}`);
  const { batchSize, batchBytes, maxBufferedBytes, maxBlockMs, deliveryTimeoutMs, transactionTimeoutMs } =
    checked;
  for (const [name, value] of Object.entries({
    batchSize,
    batchBytes,
    maxBufferedBytes,
    transactionTimeoutMs,
  }))
    if (!(value >= 1)) throw invalid(`${name} is ${value}, not at least 1`);
  if (batchBytes > MAX_BATCH_BYTES)
    throw invalid(`batchBytes is ${batchBytes}, not at most ${MAX_BATCH_BYTES}`);
  for (const [name, value] of Object.entries({ maxBlockMs, deliveryTimeoutMs }))
    if (!(value >= 0)) throw invalid(`${name} is ${value}`);
  return checked;
}

function invalid(message: string): DirectError {
  return new DirectError('INVALID_ARGUMENT', message, { doing: 'make a producer' });
}
