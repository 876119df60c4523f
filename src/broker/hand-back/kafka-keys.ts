import { type MetadataRecord, metadataRecord } from '../metadata/records.ts';
import { type MetadataState, ResourceType } from '../metadata/state.ts';

/** Keys that Apache Kafka does not know, by what they begin with. It would refuse every later change of a topic or group that has one. */
const OUR_TOPIC_KEYS = ['compaction.', 'direct.', 'log.ack', 'payload.'];
const OUR_BROKER_KEYS = [
  'arena.',
  'direct.',
  'fabric.',
  'log.ack',
  'log.cleaner.compaction.',
  'log.direct.',
  'log.durability',
  'log.recycle.',
  'metrics.listener',
  'payload.',
  'socket.busy.poll.us',
  'storage.',
];

const OUR_GROUP_KEYS = ['direct.'];

const OUR_KEYS: readonly [resourceType: number, prefixes: readonly string[]][] = [
  [ResourceType.TOPIC, OUR_TOPIC_KEYS],
  [ResourceType.BROKER, OUR_BROKER_KEYS],
  [ResourceType.GROUP, OUR_GROUP_KEYS],
];

/** A value that was set on a topic, a broker or a group. */
export interface SetValue {
  readonly resourceType: number;
  /** Empty for the default of all brokers. */
  readonly resourceName: string;
  readonly name: string;
  readonly value: string;
}

/** The values that were set of keys that only this gateway has. */
export function ourValues(state: MetadataState): SetValue[] {
  const found: SetValue[] = [];
  for (const [resourceType, prefixes] of OUR_KEYS)
    for (const resourceName of state.configuredResources(resourceType))
      for (const [name, value] of state.configs(resourceType, resourceName))
        if (prefixes.some((prefix) => name.startsWith(prefix)))
          found.push({ resourceType, resourceName, name, value });
  return found;
}

const KINDS: ReadonlyMap<number, string> = new Map([
  [ResourceType.TOPIC, 'topic'],
  [ResourceType.BROKER, 'broker'],
  [ResourceType.GROUP, 'group'],
]);

/** For people. */
export function textOfValue({ resourceType, resourceName, name, value }: SetValue): string {
  return `${KINDS.get(resourceType)} ${resourceName || '(default)'}: ${name}=${value}`;
}

/** The record that takes a value away. */
export function withoutValue({ resourceType, resourceName, name }: SetValue): MetadataRecord {
  return metadataRecord('config', { resourceType, resourceName, name, value: null });
}
