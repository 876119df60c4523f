import type { LeveledLogger } from '../../util/logger.ts';
import { createLogger, type LogLevel } from '../logging.ts';
import { version } from '../version.ts';

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof exitCodes;

/** Whatever runs until it is told to stop. */
export interface Running {
  stop(): Promise<void>;
}

/**
 * Runs a part of Kafabric until SIGTERM or SIGINT. A signal while it starts, or a second one while it stops, ends it at once: that is safe, as a
 * crash is.
 */
export async function runUntilStopped(
  name: string,
  level: LogLevel,
  warnings: readonly string[],
  start: (log: LeveledLogger) => Promise<Running>,
): Promise<void> {
  const log = createLogger(level);
  for (const warning of warnings) log.warn({}, warning);
  log.info({ version, node: process.version, pid: process.pid }, `${name} is starting`);
  const exitAtOnce = (signal: StopSignal) => process.exit(exitCodes[signal]);
  process.on('SIGTERM', exitAtOnce).on('SIGINT', exitAtOnce);
  const running = await start(log).catch((error: unknown) => {
    log.debug({ error }, 'the start failed');
    throw error;
  });
  process.off('SIGTERM', exitAtOnce).off('SIGINT', exitAtOnce);
  const signal = await stopSignal();
  process.on('SIGTERM', exitAtOnce).on('SIGINT', exitAtOnce);
  log.info({ signal }, 'shutting down');
  await running.stop();
  log.info({}, `${name} has stopped`);
  process.exit(0);
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}
