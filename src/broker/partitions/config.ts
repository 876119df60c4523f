import type { Codec } from '../../native/codec.ts';

/** The settings of a topic that its partitions act on, and those of the broker behind them. */
export interface PartitionConfig {
  /** `max.message.bytes`: largest batch, as produced. */
  maxMessageBytes: number;
  /** `compression.type`: what batches are turned into; null leaves the producer's. */
  compression: Codec | null;
  logAppendTime: boolean;
  timestampBeforeMaxMs: number;
  timestampAfterMaxMs: number;
  /** Records need keys (`cleanup.policy` contains compact). */
  compacted: boolean;
  /** `payload.min.bytes`: mean record size from which a batch is diverted; -1 never. */
  payloadMinBytes: number;
  payloadSegmentBytes: number;
  /** Space for a whole payload segment is reserved when it is begun. */
  payloadPreallocate: boolean;
  /** `payload.tier`: the storage tier, from 0 on, in which the payload stays; null: none. */
  payloadTier: number | null;
  /** `payload.replicas`: stores that get each extent. */
  payloadReplicas: number;
  /** `payload.min.insync.replicas`: how many must have it before it is acknowledged. */
  payloadMinInsync: number;
  /** -1: no limit. */
  retentionMs: number;
  /** Log and payload together; -1: no limit. */
  retentionBytes: number;
  /** `cleanup.policy` contains delete: records may be removed. */
  deletable: boolean;
  /** `log.durability=flush`: acks=all waits until the device has the data. */
  flushBeforeAck: boolean;
  /** `log.ack=memory`: what survives the death of the process is acknowledged before it is in the files. */
  ackFromMemory: boolean;
}
