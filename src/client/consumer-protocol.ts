import { consumerProtocolAssignment } from '../protocol/generated/consumer-protocol-assignment.ts';
import { consumerProtocolSubscription } from '../protocol/generated/consumer-protocol-subscription.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import { Reader } from '../protocol/wire/reader.ts';
import { Writer } from '../protocol/wire/writer.ts';

const VERSION = 1;

export interface AssignedPartition {
  readonly topic: string;
  readonly partition: number;
}

/** What a member of a classic group subscribes to, as its metadata. */
export function writeSubscription(topics: readonly string[]): Uint8Array {
  return framed(consumerProtocolSubscription, { topics: [...topics].sort(), userData: null });
}

export function readSubscription(bytes: Uint8Array): readonly string[] {
  return unframed(consumerProtocolSubscription, bytes).topics;
}

/** What a member of a classic group is assigned. */
export function writeAssignment(partitions: readonly AssignedPartition[]): Uint8Array {
  const assignedPartitions = byTopic(partitions).map(([topic, items]) => ({
    topic,
    partitions: items.map(({ partition }) => partition),
  }));
  return framed(consumerProtocolAssignment, { assignedPartitions, userData: null });
}

/** Empty bytes are no partitions. */
export function readAssignment(bytes: Uint8Array): AssignedPartition[] {
  if (bytes.byteLength === 0) return [];
  return unframed(consumerProtocolAssignment, bytes).assignedPartitions.flatMap(({ topic, partitions }) =>
    partitions.map((partition) => ({ topic, partition })),
  );
}

/** Partitions grouped by their topics, in the order of their first. */
export function byTopic<T extends AssignedPartition>(items: readonly T[]): [topic: string, items: T[]][] {
  const grouped = new Map<string, T[]>();
  for (const item of items) {
    const found = grouped.get(item.topic);
    if (found === undefined) grouped.set(item.topic, [item]);
    else found.push(item);
  }
  return [...grouped];
}

/** Messages of the consumer protocol have their version in front. */
export function framed<T>(codec: MessageCodec<T>, message: Partial<T>): Uint8Array {
  const writer = new Writer();
  writer.int16(VERSION);
  codec.write(writer, codec.create(message), VERSION);
  return writer.finishBytes();
}

export function unframed<T>(codec: MessageCodec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes);
  return codec.read(reader, Math.min(reader.int16(), codec.maxVersion));
}
