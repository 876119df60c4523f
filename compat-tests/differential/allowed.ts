import type { ApiKeyName } from '../../src/protocol/api-keys.ts';
import { ErrorCode, errorInfo } from '../../src/protocol/errors.ts';
import type { Names } from './compare.ts';
import type { Side } from './side.ts';

/** A difference between the brokers that is none: the fields, and what stands for their values in both. */
export interface AllowedDifference {
  readonly because: string;
  /** All APIs when absent. */
  readonly apis?: readonly ApiKeyName[];
  readonly fields: readonly string[];
  /** `undefined` leaves the value to the other rules, and then to the comparison. */
  replace(value: unknown, side: Side, names: Names): unknown;
}

const UUID =
  /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])/g;
const NO_ID = 'AAAAAAAAAAAAAAAAAAAAAA';
const A_DAY_MS = 86_400_000;

/** Where Kafka gives no message, or only that of the error code, Kafabric may say more. */
export const NOTHING_SAID = '<no message>';
const GENERAL_MESSAGES: ReadonlySet<unknown> = new Set([
  null,
  '',
  'NONE',
  ...Object.values(ErrorCode).map((code) => errorInfo(code).message),
]);

/** The only differences that are allowed. Node ids need no rule: both brokers are node 1. */
export const ALLOWED: readonly AllowedDifference[] = [
  {
    because: 'topic ids are random; both have to be that of the same topic, or the same id of none',
    fields: ['topicId'],
    replace: (value, { topicNames }) => {
      const name = topicNames.get(value as string);
      return name === undefined ? undefined : `<id of ${name}>`;
    },
  },
  {
    because: 'coordinators of share partitions are found by topic ids, which are random',
    apis: ['FindCoordinator'],
    fields: ['key'],
    replace: (value, { topicNames }) =>
      typeof value === 'string'
        ? value.replace(UUID, (id) => (topicNames.has(id) ? `<id of ${topicNames.get(id)}>` : id))
        : undefined,
  },
  {
    because: 'member ids end in a random id',
    fields: ['memberId', 'leader'],
    replace: (value, _side, names) =>
      typeof value === 'string'
        ? value.replace(UUID, (id) => (id === NO_ID ? id : names.of('random id', id)))
        : undefined,
  },
  {
    because: 'producer ids depend on who asked before; the same has to be the same again',
    fields: ['producerId'],
    replace: (value, _side, names) =>
      (value as bigint) >= 0n && (value as bigint) < 100_000n ? names.of('producer', value) : undefined,
  },
  {
    because: 'clocks go on between two calls',
    fields: ['logAppendTimeMs', 'timestamp', 'transactionStartTimeMs', 'lastTimestamp'],
    replace: (value) => (Math.abs(Number(value) - Date.now()) < A_DAY_MS / 24 ? '<now>' : undefined),
  },
  {
    because: 'where Kafka has nothing to say beyond the code, Kafabric may',
    fields: ['errorMessage'],
    replace: (value) => (GENERAL_MESSAGES.has(value) ? NOTHING_SAID : undefined),
  },
  {
    because: 'fetch sessions have random ids',
    apis: ['Fetch'],
    fields: ['sessionId'],
    replace: (value) => (value === 0 ? undefined : '<session>'),
  },
  {
    because: 'Kafka names one by one the records that it keeps one by one',
    apis: ['ShareFetch'],
    fields: ['acquiredRecords'],
    replace: (value) => joined(value as readonly Acquired[]),
  },
  {
    because: 'the brokers have different data directories, which are compared by their positions',
    fields: ['logDir', 'value', 'errorMessage'],
    replace: (value, { dataDirs }) => {
      if (typeof value !== 'string' || !dataDirs.some((directory) => value.includes(directory))) return;
      return dataDirs.reduce(
        (text, directory, position) => text.replaceAll(directory, `<data ${position}>`),
        value,
      );
    },
  },
  {
    because: 'the brokers listen on different ports',
    fields: ['port'],
    replace: (value, { bootstrap }) => (String(value) === bootstrap.split(':')[1] ? '<port>' : undefined),
  },
];

interface Acquired {
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
  readonly deliveryCount: number;
}

/** Ranges of records that follow each other, and were delivered as often, as one. */
function joined(acquired: readonly Acquired[]): string[] {
  const ranges: { first: bigint; last: bigint; deliveryCount: number }[] = [];
  for (const { firstOffset: first, lastOffset: last, deliveryCount } of [...acquired].sort((a, b) =>
    Number(a.firstOffset - b.firstOffset),
  )) {
    const before = ranges.at(-1);
    if (before?.deliveryCount === deliveryCount && before.last + 1n === first) before.last = last;
    else ranges.push({ first, last, deliveryCount });
  }
  return ranges.map(({ first, last, deliveryCount }) => `${first}-${last}, delivered ${deliveryCount} times`);
}

/** Arrays whose order means something; all others are compared as sets. */
export const ORDERED: readonly string[] = [
  'DescribeTopicPartitions.topics',
  'DescribeTopicPartitions.topics[].partitions',
  'Fetch.responses[].partitions[].abortedTransactions',
  'DescribeConfigs.results[].configs[].synonyms',
  'OffsetCommit.topics',
  'OffsetCommit.topics[].partitions',
  'TxnOffsetCommit.topics',
  'TxnOffsetCommit.topics[].partitions',
  'OffsetDelete.topics',
  'OffsetDelete.topics[].partitions',
];
