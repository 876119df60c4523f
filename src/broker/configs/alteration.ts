/** Kafka's AlterConfigOp types. */
export const AlterOperation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

/** What is to become of one key. */
export interface ConfigAlteration {
  readonly name: string;
  /** Kafka's AlterConfigOp type. */
  readonly operation: number;
  readonly value: string | null;
}
