/** What members of a streams group are told besides their tasks; Kafka's numbers. */
export const Status = {
  STALE_TOPOLOGY: 0,
  MISSING_SOURCE_TOPICS: 1,
  INCORRECTLY_PARTITIONED_TOPICS: 2,
  MISSING_INTERNAL_TOPICS: 3,
  SHUTDOWN_APPLICATION: 4,
  ASSIGNMENT_DELAYED: 5,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** The topics that there are do not suit a topology (yet). */
export class TopicsProblem extends Error {
  override readonly name = 'TopicsProblem';
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
  }
}
