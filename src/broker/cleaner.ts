import { LogCleaner } from '../backend/log/compaction/log-cleaner.ts';
import type { LogManager } from '../backend/log/log-manager.ts';
import type { KafabricConfig } from '../config/index.ts';
import { limitCompaction } from '../native/compaction.ts';
import type { Store } from '../native/store.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

/** The cleaner of all logs, with the broker's log.cleaner.* keys as they are at any time. */
export function makeCleaner(parts: {
  logs: LogManager;
  store: Store;
  config: () => KafabricConfig;
  clock: Clock;
  logger: Logger;
}): LogCleaner {
  const { logs, store, clock, logger } = parts;
  return new LogCleaner({
    logs: () => logs.logs(),
    engine: store,
    settings: () => {
      const config = parts.config();
      return {
        enabled: config.get('log.cleaner.enable'),
        threads: config.get('log.cleaner.threads'),
        backoffMs: config.get('log.cleaner.backoff.ms'),
        dedupeBufferBytes: config.get('log.cleaner.dedupe.buffer.size'),
        ioBufferBytes: config.get('log.cleaner.io.buffer.size'),
        loadFactor: config.get('log.cleaner.io.buffer.load.factor'),
        maxIoBytesPerSecond: config.get('log.cleaner.io.max.bytes.per.second'),
      };
    },
    limitRate: limitCompaction,
    clock,
    logger,
  });
}
