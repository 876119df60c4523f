import { StoreConnection } from '../../backend/payload/stores/store-connection.ts';
import { splitAddress } from '../../backend/payload/stores/store-peer.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import type { LogLevel } from '../logging.ts';
import { StoreProcess } from '../store-process.ts';
import { storesSecurity } from '../store-settings.ts';
import { runUntilStopped } from './run-until-stopped.ts';

const POLL_MS = 1000;

/** `kafabric store`: runs a payload store until it is told to stop. */
export function storeCommand(config: KafabricConfig, level: LogLevel): Promise<void> {
  return runUntilStopped('kafabric store', level, config.resolved.warnings, (log) =>
    StoreProcess.start(config, log),
  );
}

export interface DrainOptions {
  /** Ends draining. */
  off: boolean;
  /** Returns when the store is empty. */
  wait: boolean;
}

/** `kafabric store drain <address>`: has gateways move what a store has to others. */
export async function drainCommand(
  config: KafabricConfig,
  address: string,
  { off, wait }: DrainOptions,
): Promise<void> {
  const { host, port } = splitAddress(address);
  const connection = await StoreConnection.open({
    host,
    port,
    ...storesSecurity(config, silentLogger),
    identity: { role: 'operator', cluster: 'operator', node: 0 },
    requestTimeoutMs: config.get('payload.stores.request.timeout.ms'),
    clock: systemClock,
    fabric: null,
  });
  try {
    await connection.request({ op: 'drain', on: !off });
    let left = await connection.request({ op: 'status' });
    process.stdout.write(
      off
        ? `${address} takes payload again\n`
        : `${address} is being drained: ${left.files} files with ${left.usedBytes} bytes are left\n`,
    );
    while (wait && !off && left.files > 0) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const before = left.files;
      left = await connection.request({ op: 'status' });
      if (left.files !== before)
        process.stdout.write(`${left.files} files with ${left.usedBytes} bytes are left\n`);
    }
  } finally {
    connection.end('done');
    await connection.closed;
  }
}
