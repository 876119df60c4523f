import type { KafabricConfig } from '../../config/index.ts';
import { Gateway } from '../gateway.ts';
import { createLogger, type LogLevel } from '../logging.ts';
import { version } from '../version.ts';

/** Runs the gateway until SIGTERM or SIGINT; a second signal ends it at once. */
export async function startCommand(config: KafabricConfig, level: LogLevel): Promise<void> {
  const log = createLogger(level);
  for (const warning of config.resolved.warnings) log.warn({}, warning);
  log.info({ version, node: process.version, pid: process.pid }, 'kafabric is starting');
  const stop = stopSignal();
  const gateway = await Gateway.start({ config, log }).catch((error: unknown) => {
    log.debug({ error }, 'the start failed');
    throw error;
  });
  const signal = await stop;
  log.info({ signal }, 'shutting down');
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  await gateway.stop();
  log.info({}, 'kafabric has stopped');
  process.exit(0);
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}
