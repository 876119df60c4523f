import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout; this file runs from dist/compat-tests/harness. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** The command line, as it was built. */
export const gatewayProgram = join(root, 'dist/kafabric/main.js');

/** The folder of the compatibility suites, with the clients' own files. */
export const suites = join(root, 'compat-tests');

/** Where setup.mjs installs clients. */
export const installed = join(suites, '.clients');

/** What Kafka's Java programs run with: one small, quickly started virtual machine. */
export function javaCommand(mainClass: string, heapMb: number): string[] {
  const classPath = `${join(installed, 'java/classes')}:${join(installed, 'java/libs')}/*`;
  const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', `-Xmx${heapMb}m`];
  return ['java', ...flags, '-cp', classPath, mainClass];
}
