// What members of the classic protocol carry in their metadata and assignments (Kafka's embedded consumer protocol).
import {
  type ConsumerProtocolAssignment,
  consumerProtocolAssignment,
} from '../../../protocol/generated/consumer-protocol-assignment.ts';
import {
  type ConsumerProtocolSubscription,
  consumerProtocolSubscription,
} from '../../../protocol/generated/consumer-protocol-subscription.ts';
import { encodeVersioned } from '../../../protocol/internal-records.ts';
import type { MessageCodec } from '../../../protocol/wire/codec.ts';
import { ProtocolError } from '../../../protocol/wire/errors.ts';
import { Reader } from '../../../protocol/wire/reader.ts';
import { type Assignment, assignmentOf, topicPartitionsOf } from './assignment.ts';
import type { Topics } from './topics.ts';

/** @throws ProtocolError */
export function parseSubscription(metadata: Uint8Array): ConsumerProtocolSubscription {
  return parse(consumerProtocolSubscription, metadata);
}

/** @throws ProtocolError */
export function parseAssignment(bytes: Uint8Array): ConsumerProtocolAssignment {
  return parse(consumerProtocolAssignment, bytes);
}

/** In the version of the member's subscription; topics that do not exist are left out. */
export function encodeAssignment(
  assignment: Assignment,
  subscription: Uint8Array,
  topics: Topics,
): Uint8Array {
  const version = Math.min(new Reader(subscription).int16(), consumerProtocolAssignment.maxVersion);
  const assignedPartitions = topicPartitionsOf(assignment).flatMap(({ topicId, partitions }) => {
    const topic = topics.byId(topicId)?.name;
    return topic === undefined ? [] : [{ topic, partitions }];
  });
  const message = { assignedPartitions, userData: null };
  return encodeVersioned(consumerProtocolAssignment, message, Math.max(version, 0));
}

/** Topics that do not exist are left out. */
export function toTopicIds(
  topics: Topics,
  partitions: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
): Assignment {
  return assignmentOf(
    partitions.flatMap(({ topic, partitions: indexes }) => {
      const topicId = topics.byName(topic)?.id;
      return topicId === undefined ? [] : [{ topicId, partitions: indexes }];
    }),
  );
}

/** Every version begins with the fields of those before it, so one that is not known yet is read as the newest. */
function parse<T>(codec: MessageCodec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes);
  const version = reader.int16();
  if (version < 0) throw new ProtocolError(`Consumer protocol version ${version}`);
  return codec.read(reader, Math.min(version, codec.maxVersion));
}
