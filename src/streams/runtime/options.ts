import type * as Kafka from '@platformatic/kafka';
import { type Logger, silentLogger } from '../../util/logger.ts';
import { checkWhole, invalid } from '../errors.ts';
import type { BadRecordPolicy } from './task.ts';

export type Guarantee = 'exactly-once' | 'at-least-once';
export type AppState = 'created' | 'rebalancing' | 'running' | 'closing' | 'closed' | 'failed';

export interface StreamsOptions {
  /** Names the consumer group, the transactional ids and the internal topics; instances with one id share the work. */
  readonly applicationId: string;
  /** `host:port`, one or more. */
  readonly bootstrap: string | readonly string[];
  /** Default exactly-once. */
  readonly guarantee?: Guarantee;
  /** How often tasks commit, in ms; 100 with exactly-once, 30,000 with at-least-once when absent. */
  readonly commitIntervalMs?: number;
  /** What happens with records that cannot be deserialized; default fail. */
  readonly badRecords?: BadRecordPolicy;
  /** A directory for the values of state; in memory when absent. */
  readonly stateDir?: string;
  /** What state may take in memory, over all tasks; default 512 MiB. */
  readonly stateMaxBytes?: number;
  /** Of internal topics; default -1: the brokers' default. */
  readonly replicationFactor?: number;
  /** After so long brokers abort a transaction whose task has vanished, in ms; default 60,000. */
  readonly transactionTimeoutMs?: number;
  /** After so long without a sign of life a member is given up, in ms; default 45,000. */
  readonly sessionTimeoutMs?: number;
  /** Default 3,000 ms. */
  readonly heartbeatMs?: number;
  /** How long a rebalance waits for members to commit and join again, in ms; default 60,000. */
  readonly rebalanceTimeoutMs?: number;
  /** Records that wait per partition before it is not fetched from; default 1,000. Nor is one from which 16 MiB wait. */
  readonly maxBufferedRecords?: number;
  /** Default none. */
  readonly compression?: Kafka.CompressionAlgorithmValue;
  /** As Node's tls.connect takes it. */
  readonly tls?: Kafka.BaseOptions['tls'];
  /** As @platformatic/kafka takes it: mechanism, username, password, … */
  readonly sasl?: Kafka.BaseOptions['sasl'];
  readonly logger?: Logger;
  /** What it throws is logged. */
  readonly onState?: (state: AppState) => void;
}

/** The options with their defaults, checked. */
export interface Settings {
  readonly applicationId: string;
  readonly bootstrap: readonly string[];
  readonly exactlyOnce: boolean;
  readonly commitIntervalMs: number;
  readonly badRecords: BadRecordPolicy;
  readonly stateDir: string | null;
  readonly stateMaxBytes: number;
  readonly replicationFactor: number;
  readonly transactionTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly maxBufferedRecords: number;
  readonly compression: Kafka.CompressionAlgorithmValue;
  readonly tls: Kafka.BaseOptions['tls'] | undefined;
  readonly sasl: Kafka.BaseOptions['sasl'] | undefined;
  readonly logger: Logger;
  readonly onState: (state: AppState) => void;
}

const MAX_MS = 0x7fffffff;

/** @throws StreamsError INVALID_ARGUMENT */
export function settingsOf(options: StreamsOptions): Settings {
  const { applicationId, guarantee = 'exactly-once', badRecords = 'fail' } = options;
  // Callers may be JavaScript, where what is required may be missing.
  if (typeof applicationId !== 'string' || !/^[a-zA-Z0-9._-]{1,100}$/.test(applicationId))
    throw invalid(
      `applicationId "${applicationId}" becomes part of topics' names; use letters, digits, dots, dashes and underscores, at most 100`,
    );
  if (guarantee !== 'exactly-once' && guarantee !== 'at-least-once')
    throw invalid(`guarantee is "${guarantee}"; give "exactly-once" or "at-least-once"`);
  if (badRecords !== 'fail' && badRecords !== 'skip' && typeof badRecords?.deadLetterTopic !== 'string')
    throw invalid('badRecords is none of "fail", "skip" and {deadLetterTopic}');
  const exactlyOnce = guarantee === 'exactly-once';
  const ms = (name: keyof StreamsOptions, value: number, min = 1) => checkWhole(name, value, min, MAX_MS);
  const settings: Settings = {
    applicationId,
    bootstrap: addressesOf(options.bootstrap),
    exactlyOnce,
    badRecords,
    commitIntervalMs: ms('commitIntervalMs', options.commitIntervalMs ?? (exactlyOnce ? 100 : 30_000)),
    stateDir: options.stateDir ?? null,
    stateMaxBytes: checkWhole('stateMaxBytes', options.stateMaxBytes ?? 512 << 20, 1 << 20),
    replicationFactor: options.replicationFactor ?? -1,
    transactionTimeoutMs: ms('transactionTimeoutMs', options.transactionTimeoutMs ?? 60_000, 1000),
    sessionTimeoutMs: ms('sessionTimeoutMs', options.sessionTimeoutMs ?? 45_000),
    heartbeatMs: ms('heartbeatMs', options.heartbeatMs ?? 3000),
    rebalanceTimeoutMs: ms('rebalanceTimeoutMs', options.rebalanceTimeoutMs ?? 60_000),
    maxBufferedRecords: checkWhole('maxBufferedRecords', options.maxBufferedRecords ?? 1000, 1),
    compression: options.compression ?? 'none',
    tls: options.tls,
    sasl: options.sasl,
    logger: options.logger ?? silentLogger,
    onState: options.onState ?? (() => undefined),
  };
  if (settings.heartbeatMs >= settings.sessionTimeoutMs)
    throw invalid(
      `heartbeatMs (${settings.heartbeatMs}) has to be less than sessionTimeoutMs (${settings.sessionTimeoutMs})`,
    );
  if (exactlyOnce && settings.commitIntervalMs >= settings.transactionTimeoutMs)
    throw invalid(
      'commitIntervalMs has to be less than transactionTimeoutMs: transactions would be aborted first',
    );
  return settings;
}

function addressesOf(bootstrap: string | readonly string[] = []): string[] {
  const list = typeof bootstrap === 'string' ? bootstrap.split(',') : bootstrap;
  const addresses = list.map((address) => address.trim()).filter((address) => address !== '');
  if (addresses.length === 0) throw invalid('bootstrap is empty; give host:port');
  return addresses;
}
