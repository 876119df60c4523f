import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { IndexCache } from './index-cache.ts';
import type { FileSystem } from './ports.ts';

/** What the logs of a process share. */
export interface LogEnvironment {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly indexCache: IndexCache;
  /** From 0 up to 1, for jitter. */
  readonly random: () => number;
  /** How long a producer is remembered that writes nothing; may change at any time. */
  producerIdExpirationMs: number;
}
