import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { LogManager } from '../../backend/log/log-manager.ts';
import type { LogDirMoves } from '../../broker/partitions/moves/log-dir-moves.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeLogDirsRequest,
  describeLogDirsRequest,
} from '../../protocol/generated/describe-log-dirs-request.ts';
import {
  createDescribeLogDirsResponse,
  createDescribeLogDirsResult,
  type DescribeLogDirsPartition,
  type DescribeLogDirsResponse,
  type DescribeLogDirsTopic,
  describeLogDirsResponse,
} from '../../protocol/generated/describe-log-dirs-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/**
 * DescribeLogDirs, versions 1 to 5: what lies in each log directory, and what is on its way there. The size of a partition includes its
 * payload.
 */
export function describeLogDirsHandler({
  partitions,
  logs,
  moves,
}: {
  partitions: PartitionManager;
  logs: LogManager;
  moves: LogDirMoves;
}): ApiHandler<DescribeLogDirsRequest, DescribeLogDirsResponse> {
  return {
    apiKey: 35,
    minVersion: 1,
    maxVersion: 5,
    request: describeLogDirsRequest,
    response: describeLogDirsResponse,
    async handle({ topics }) {
      const wanted = topics && wantedOf(topics);
      const byDirectory = new Map<string, Directory>();
      addCurrent(byDirectory, partitions, wanted);
      addFuture(byDirectory, moves, wanted);
      const results = logs.directories.map(async ({ path, error }) => {
        if (error !== null)
          return createDescribeLogDirsResult({ logDir: path, errorCode: ErrorCode.KAFKA_STORAGE_ERROR });
        const space = await statfs(path, { bigint: true }).catch(() => null);
        return createDescribeLogDirsResult({
          logDir: path,
          topics: [...(byDirectory.get(path)?.values() ?? [])],
          totalBytes: space === null ? -1n : space.blocks * space.bsize,
          usableBytes: space === null ? -1n : space.bavail * space.bsize,
          isCordoned: logs.isCordoned(path),
        });
      });
      return createDescribeLogDirsResponse({ results: await Promise.all(results) });
    },
  };
}

/** Partitions by topic. */
type Directory = Map<string, DescribeLogDirsTopic>;

type Wanted = ReadonlyMap<string, ReadonlySet<number>> | null;

/** The partitions that are asked for, by topic; one topic may be named several times. */
function wantedOf(topics: NonNullable<DescribeLogDirsRequest['topics']>): Map<string, Set<number>> {
  const byTopic = new Map<string, Set<number>>();
  for (const { topic, partitions } of topics) {
    const indexes = byTopic.get(topic) ?? new Set();
    byTopic.set(topic, indexes);
    for (const index of partitions) indexes.add(index);
  }
  return byTopic;
}

function addCurrent(directories: Map<string, Directory>, partitions: PartitionManager, wanted: Wanted): void {
  for (const { topic, index, log, payloads } of partitions.all()) {
    const partitionSize = BigInt(log.sizeBytes + payloads.totalBytes);
    const description = { partitionIndex: index, partitionSize, offsetLag: 0n, isFutureKey: false };
    add(directories, dirname(log.directory), topic, description, wanted);
  }
}

function addFuture(directories: Map<string, Directory>, moves: LogDirMoves, wanted: Wanted): void {
  for (const { partition, to, bytes, lag } of moves.moves()) {
    const description = {
      partitionIndex: partition.index,
      partitionSize: BigInt(bytes),
      offsetLag: lag,
      isFutureKey: true,
    };
    add(directories, to.path, partition.topic, description, wanted);
  }
}

function add(
  directories: Map<string, Directory>,
  path: string,
  name: string,
  partition: DescribeLogDirsPartition,
  wanted: Wanted,
): void {
  if (wanted !== null && !wanted.get(name)?.has(partition.partitionIndex)) return;
  const topics = directories.get(path) ?? new Map<string, DescribeLogDirsTopic>();
  directories.set(path, topics);
  const topic = topics.get(name) ?? { name, partitions: [] };
  topics.set(name, topic);
  topic.partitions.push(partition);
}
