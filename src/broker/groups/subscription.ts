import { consumerProtocolSubscription } from '../../protocol/generated/consumer-protocol-subscription.ts';
import { ProtocolError } from '../../protocol/wire/errors.ts';
import { Reader } from '../../protocol/wire/reader.ts';
import type { ClassicGroup } from './classic-group.ts';

/** The protocol type of consumers, as opposed to Connect workers and others that use groups. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer';

/**
 * The topics that a group's members subscribe to; null if the group is not of consumers, has no protocol yet, or a
 * member's metadata is not a subscription.
 */
export function subscribedTopicsOf(group: ClassicGroup): ReadonlySet<string> | null {
  if (!group.isConsumerGroup) return null;
  const topics = new Set<string>();
  if (group.size === 0) return topics;
  if (group.protocolName === null) return null;
  try {
    for (const member of group.members())
      for (const topic of parseTopics(member.metadata(group.protocolName))) topics.add(topic);
    return topics;
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

/** Every version begins with the fields of version 0, so newer ones are read as that. */
function parseTopics(metadata: Uint8Array): string[] {
  const reader = new Reader(metadata);
  const version = reader.int16();
  if (version < 0) throw new ProtocolError(`Consumer protocol version ${version}`);
  return consumerProtocolSubscription.read(reader, 0).topics;
}
