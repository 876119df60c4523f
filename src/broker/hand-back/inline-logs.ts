import { rmdir } from 'node:fs/promises';
import { payloadDirectory } from '../../backend/payload/home-places.ts';
import type { KafabricConfig } from '../../config/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { metadataRecord } from '../metadata/records.ts';
import type { Partition } from '../partitions/partition.ts';
import { allOf, openPartitions } from '../storage/stopped-partitions.ts';
import type { StorageOptions } from '../storage/storage.ts';
import { inlinePartition } from './inline-partition.ts';
import { ourValues, textOfValue, withoutValue } from './kafka-keys.ts';

export interface InlineOptions {
  readonly config: KafabricConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** As of a broker: how the stores of `payload.stores` are reached. */
  readonly storeAccess?: StorageOptions['storeAccess'];
  /** Called for every batch that was put back. */
  readonly onProgress?: (progress: InlineProgress) => void;
}

export interface InlineProgress {
  /** That are done. */
  partitions: number;
  /** Of payload that are in the logs again, and their bytes. */
  batches: number;
  bytes: number;
}

export interface InlineReport extends InlineProgress {
  /** Values of keys that Kafka does not know, which were taken away: `topic orders: payload.min.bytes=4096`. */
  removedSettings: string[];
}

/** A fenced registration: Kafka's controller lets the broker register anew at once. */
const FENCED = 1;

/**
 * Makes the data directories of a gateway that does not run into such as Apache Kafka writes and opens: all payload goes back into the logs,
 * and settings that Kafka does not know out of the metadata. It can be interrupted, also killed, at any time, and run again.
 * @throws Error for people, when a gateway has a directory, when one cannot be used, or when payload is missing or damaged
 */
export async function inlineLogs(options: InlineOptions): Promise<InlineReport> {
  const { config, logger } = options;
  const opened = await openPartitions(options);
  const { logs, metadata, partitions } = opened;
  try {
    // What was to be moved stays where it is: Kafka could not go on with payload.
    for (const future of logs.futures) await future.in.discard(future.path, future.topic, future.partition);
    const report: InlineReport = { partitions: 0, batches: 0, bytes: 0, removedSettings: [] };
    for (const partition of allOf(metadata, partitions)) {
      await inlinePartition(partition, (bytes) => {
        report.batches++;
        report.bytes += bytes;
        options.onProgress?.(report);
      }).catch((error: unknown) => {
        throw new Error(messageOf(partition, error, config), { cause: error });
      });
      report.partitions++;
    }
    report.removedSettings = await fitForKafka(metadata);
    const directories = Array.from(partitions.all(), ({ log }) => payloadDirectory(log.directory));
    await opened.close();
    // Only those that are empty can be removed.
    for (const directory of directories) await rmdir(directory).catch(() => {});
    return report;
  } catch (error) {
    await opened
      .close()
      .catch((failure: unknown) => logger.error({ err: failure }, 'closing the logs failed'));
    throw error;
  }
}

/** Takes out of the metadata what Kafka does not know; returns it for people to read. */
async function fitForKafka(metadata: ClusterMetadata): Promise<string[]> {
  return metadata.change((state) => {
    const values = ourValues(state);
    const fenced = metadataRecord('brokerRegistrationChange', {
      brokerId: metadata.nodeId,
      brokerEpoch: metadata.brokerEpoch,
      fenced: FENCED,
    });
    return { records: [...values.map(withoutValue), fenced], result: values.map(textOfValue) };
  });
}

function messageOf({ topic, index }: Partition, error: unknown, config: KafabricConfig): string {
  const reason = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: unknown } | null)?.code;
  let advice = 'nothing is lost: it can be run again';
  if (code === 'ENOSPC') advice = `there is no space in ${config.resolved.logDirs.join(', ')}; ${advice}`;
  else if (code === 'ENOMEM' || code === 'ENOBUFS')
    advice = 'a batch does not fit into memory: raise arena.bytes';
  return `${topic}-${index}: ${reason}; ${advice}`;
}
