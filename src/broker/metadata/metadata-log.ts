/** Where the state machine keeps its records: the partition `__cluster_metadata-0`, or memory in tests. */
export interface MetadataLog {
  /** The offset that the next record gets. */
  readonly endOffset: bigint;
  /** The leader epoch of what is appended now. */
  readonly leaderEpoch: number;
  /** Bytes of records since the last snapshot. */
  readonly bytesSinceSnapshot: number;
  /** Resolves when all values are durable; they are appended together and in order. */
  append(values: readonly Uint8Array[]): Promise<void>;
  /** Hands over every value from the first, or from the last snapshot; a value is valid only during the call. */
  replay(sink: (value: Uint8Array) => void): Promise<void>;
  /** Replaces everything before `endOffset` by these values, which lead to the same state. */
  snapshot(values: readonly Uint8Array[]): Promise<void>;
}
