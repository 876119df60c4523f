import type { KafabricConfig } from '../../config/index.ts';
import { Gateway } from '../gateway.ts';
import type { LogLevel } from '../logging.ts';
import { runUntilStopped } from './run-until-stopped.ts';

/** `kafabric start`: runs the gateway until it is told to stop. */
export function startCommand(config: KafabricConfig, level: LogLevel): Promise<void> {
  return runUntilStopped('kafabric', level, config.resolved.warnings, (log) =>
    Gateway.start({ config, log }),
  );
}
