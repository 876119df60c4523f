import { partitionKey } from '../../backend/log/checkpoint-files.ts';
import type { LogDirectory } from '../../backend/log/log-directory.ts';
import { METADATA_TOPIC } from '../../broker/metadata/topic-name.ts';

const METADATA = partitionKey(METADATA_TOPIC, 0);

/**
 * Why the gateway cannot serve, when every directory of `log.dirs` is out of use, or the one with the cluster's metadata, with which Apache Kafka's process
 * ends; nothing while it can.
 */
export function logDirTroubles(directories: readonly Pick<LogDirectory, 'error' | 'logs'>[]): string[] {
  const failed = directories.filter(({ error }) => error !== null);
  const hasMetadata = ({ logs }: Pick<LogDirectory, 'logs'>) => logs.has(METADATA);
  const counting = failed.length === directories.length ? failed : failed.filter(hasMetadata);
  return counting.map((directory) => {
    const { message } = directory.error!;
    return hasMetadata(directory) ? `${message} (with the cluster's metadata)` : message;
  });
}
