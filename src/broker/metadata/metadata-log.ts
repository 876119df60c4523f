/** Where the state machine keeps its records: the partition `__cluster_metadata-0`, or memory in tests. */
export interface MetadataLog {
  /** The offset that the next record gets. */
  readonly endOffset: bigint;
  /** Resolves when all values are durable; they are appended together and in order. At most 10,000 values. */
  append(values: readonly Uint8Array[]): Promise<void>;
  /** Hands over every value from the first; a value is valid only during the call. */
  replay(sink: (value: Uint8Array) => void): Promise<void>;
}
