import { resolve } from 'node:path';
import type { KafabricConfig } from './kafabric-config.ts';

const ALL = '*';

/** Whether no new partition is to be put into a data directory, which is absolute. */
export function isCordoned(config: KafabricConfig, directory: string): boolean {
  const cordoned = config.get('cordoned.log.dirs');
  return cordoned.includes(ALL) || cordoned.some((each) => resolve(each) === directory);
}

/** Whether there is no directory left for new partitions. */
export function areAllCordoned(config: KafabricConfig): boolean {
  const { logDirs } = config.resolved;
  return logDirs.length > 0 && logDirs.every((directory) => isCordoned(config, directory));
}

/** Those of a list of cordoned directories that are no data directories. */
export function unknownCordoned(cordoned: readonly string[], logDirs: readonly string[]): string[] {
  return cordoned.filter((each) => each !== ALL && !logDirs.includes(resolve(each)));
}
