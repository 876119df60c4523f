import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { ClassicGroup } from './classic-group.ts';
import type { GroupConfig } from './config.ts';

/** What the parts of a group's state machine share. */
export interface GroupContext {
  readonly clock: Clock;
  readonly config: GroupConfig;
  readonly logger: Logger;
  /** A random UUID, for member ids. */
  randomId(): string;
  /** Writes the group with these assignments (by member id); rejects with a Kafka error code. */
  persist(group: ClassicGroup, assignments: ReadonlyMap<string, Uint8Array>): Promise<void>;
}
