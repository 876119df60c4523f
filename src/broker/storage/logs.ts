import { defaultLogConfig, type LogConfig } from '../../backend/log/config.ts';
import { readKnownDirectories } from '../../backend/log/known-directories.ts';
import { LogManager } from '../../backend/log/log-manager.ts';
import type { LogIntervals } from '../../backend/log/log-manager-options.ts';
import type { FileSystem } from '../../backend/log/ports.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { sharedMemoryName, writeAcknowledged } from '../acknowledged-memory.ts';
import { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { PartitionMetadataLog } from '../metadata/partition-metadata-log.ts';
import { METADATA_TOPIC_ID, randomUuid } from '../metadata/topic-id.ts';
import { METADATA_TOPIC } from '../metadata/topic-name.ts';
import type { StorageOptions } from './storage.ts';

/** For the metadata log, which only snapshots shorten, and for every log whose topic's configuration is not known yet. */
const KEEP_ALL: LogConfig = {
  ...defaultLogConfig,
  retentionMs: -1,
  retentionBytes: -1,
  cleanupDelete: false,
};

/** `beforeWriting`: called when the directories are this process's, before anything is written there. */
export function makeLogs(
  fileSystem: FileSystem,
  { config, clock, logger }: StorageOptions,
  beforeWriting: (logs: LogManager) => Promise<void> = async () => {},
): LogManager {
  const memory = {
    config,
    name: sharedMemoryName(config.resolved.logDirs),
    dataDirectories: config.resolved.logDirs,
    replaceFile: (path: string, bytes: Uint8Array) => fileSystem.replaceFile(path, bytes),
  };
  const logs: LogManager = new LogManager({
    fileSystem,
    clock,
    logger: logger.child({ component: 'log' }),
    directories: config.resolved.logDirs,
    nodeId: config.resolved.nodeId,
    clusterId: config.get('cluster.id'),
    defaultConfig: KEEP_ALL,
    recoveryThreads: config.get('num.recovery.threads.per.data.dir'),
    producerIdExpirationMs: config.get('producer.id.expiration.ms'),
    intervals: logIntervals(config),
    beforeLoading: async () => {
      await beforeWriting(logs);
      const earlierNames = await earlierMemory(fileSystem, logs, memory.name);
      await writeAcknowledged({ ...memory, earlierNames }, logger);
    },
    hasPayload: true,
  });
  return logs;
}

/**
 * Names the shared memory of those data directories with which each of these was in use last, if they are others than now: what a process had acknowledged
 * that was killed must be written before anything else is.
 */
async function earlierMemory(
  fileSystem: FileSystem,
  { directories }: LogManager,
  name: string,
): Promise<string[]> {
  const usable = directories.filter(({ error }) => error === null);
  // One that cannot be read is put out of use a moment later.
  const before = await Promise.all(
    usable.map(({ path }) => readKnownDirectories(fileSystem, path).catch(() => [path])),
  );
  const names = new Set(before.map(sharedMemoryName));
  names.delete(name);
  return [...names];
}

/** The cluster's metadata, of logs that are open. Rejects with an error for people when it is not there but should be. */
export async function openMetadata(
  logs: LogManager,
  fileSystem: FileSystem,
  { config, clock, logger, endpoints }: StorageOptions,
): Promise<ClusterMetadata> {
  if (logs.get(METADATA_TOPIC, 0) === undefined) assertNew(logs);
  const log = await logs.create(METADATA_TOPIC, 0, { topicId: METADATA_TOPIC_ID, config: KEEP_ALL });
  return ClusterMetadata.open({
    log: new PartitionMetadataLog(log, clock, fileSystem),
    config,
    clusterId: logs.clusterId,
    endpoints,
    directories: logs.directories.flatMap(({ id }) => id ?? []),
    randomUuid,
    logger: logger.child({ component: 'metadata' }),
  });
}

/** Without its metadata a cluster would look empty, and its topics would be lost to whoever makes them anew. */
function assertNew(logs: LogManager): void {
  const unusable = logs.directories.filter(({ error }) => error !== null).map(({ path }) => path);
  const [found] = logs.logs();
  if (unusable.length === 0 && found === undefined) return;
  const reason =
    unusable.length > 0
      ? `${unusable.join(', ')} cannot be used and may hold it; make it usable again, or remove it from log.dirs if it never held any`
      : `there are logs of topics, such as ${found!.topic}-${found!.partition}; put back the directory ${METADATA_TOPIC}-0`;
  throw new Error(`the cluster's metadata, ${METADATA_TOPIC}-0, is in none of log.dirs, but ${reason}`);
}

function logIntervals(config: KafabricConfig): Partial<LogIntervals> {
  return {
    initialDelayMs: config.get('log.initial.task.delay.ms'),
    retentionCheckMs: config.get('log.retention.check.interval.ms'),
    flushCheckMs: config.get('log.flush.scheduler.interval.ms'),
    recoveryPointCheckpointMs: config.get('log.flush.offset.checkpoint.interval.ms'),
    logStartOffsetCheckpointMs: config.get('log.flush.start.offset.checkpoint.interval.ms'),
    producerExpirationCheckMs: config.get('producer.id.expiration.check.interval.ms'),
    highWatermarkCheckpointMs: config.get('replica.high.watermark.checkpoint.interval.ms'),
  };
}
