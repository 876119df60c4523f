import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from '../paths.ts';

export interface NodeClient {
  name: string;
  /** The step of compat-tests/setup.mjs, which is also the folder that the package is installed in. */
  setup: string;
  /** Whether its installation takes minutes. */
  slow: boolean;
}

export const nodeClients: readonly NodeClient[] = [
  { name: 'kafkajs', setup: 'kafkajs', slow: false },
  { name: '@confluentinc/kafka-javascript', setup: 'confluent-kafka-javascript', slow: true },
];

export function isInstalled({ name, setup }: NodeClient): boolean {
  return existsSync(join(root, 'compat-tests', setup, 'node_modules', name, 'package.json'));
}

/** Installs a client where the compatibility suites have it. */
export function installClient({ setup }: NodeClient): void {
  execFileSync(process.execPath, [join(root, 'compat-tests/setup.mjs'), setup], { stdio: 'inherit' });
}

/** The command of a driver process, which follows the protocol of `Load`. */
export function nodeCommand(
  client: NodeClient,
  what: 'produce' | 'consume',
  bootstrap: string,
  options: { topic: string; size: number; seconds: number; bytes: number; records: number },
): string[] {
  const driver = fileURLToPath(new URL('node-driver.js', import.meta.url));
  return [
    process.execPath,
    driver,
    JSON.stringify({ client: client.name, setup: client.setup, what, bootstrap, ...options }),
  ];
}
