/**
 * The partition of __consumer_offsets that a group belongs to, as Kafka computes it: the absolute value of Java's
 * String.hashCode, modulo the number of partitions.
 */
export function partitionOf(groupId: string, partitionCount: number): number {
  let hash = 0;
  for (let i = 0; i < groupId.length; i++) hash = (31 * hash + groupId.charCodeAt(i)) | 0;
  // Java has no positive 2^31; Kafka's abs gives 0 for it.
  const positive = hash === -0x80000000 ? 0 : Math.abs(hash);
  return positive % partitionCount;
}
