import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { LogManager } from '../../backend/log/log-manager.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeLogDirsRequest,
  describeLogDirsRequest,
} from '../../protocol/generated/describe-log-dirs-request.ts';
import {
  createDescribeLogDirsResponse,
  createDescribeLogDirsResult,
  type DescribeLogDirsResponse,
  type DescribeLogDirsTopic,
  describeLogDirsResponse,
} from '../../protocol/generated/describe-log-dirs-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DescribeLogDirs, versions 1 to 5: what lies in each log directory. The size of a partition includes its payload. */
export function describeLogDirsHandler({
  partitions,
  logs,
}: {
  partitions: PartitionManager;
  logs: LogManager;
}): ApiHandler<DescribeLogDirsRequest, DescribeLogDirsResponse> {
  return {
    apiKey: 35,
    minVersion: 1,
    maxVersion: 5,
    request: describeLogDirsRequest,
    response: describeLogDirsResponse,
    async handle({ topics }) {
      const wanted =
        topics && new Map(topics.map(({ topic, partitions: indexes }) => [topic, new Set(indexes)]));
      const byDirectory = group(partitions, wanted);
      const results = logs.directories.map(async ({ path, error }) => {
        if (error !== null)
          return createDescribeLogDirsResult({ logDir: path, errorCode: ErrorCode.KAFKA_STORAGE_ERROR });
        const space = await statfs(path, { bigint: true }).catch(() => null);
        return createDescribeLogDirsResult({
          logDir: path,
          topics: [...(byDirectory.get(path)?.values() ?? [])],
          totalBytes: space === null ? -1n : space.blocks * space.bsize,
          usableBytes: space === null ? -1n : space.bavail * space.bsize,
        });
      });
      return createDescribeLogDirsResponse({ results: await Promise.all(results) });
    },
  };
}

/** The wanted partitions by log directory and topic. */
function group(
  partitions: PartitionManager,
  wanted: Map<string, Set<number>> | null,
): Map<string, Map<string, DescribeLogDirsTopic>> {
  const byDirectory = new Map<string, Map<string, DescribeLogDirsTopic>>();
  for (const { topic: name, index, log, payloads } of partitions.all()) {
    if (wanted !== null && !wanted.get(name)?.has(index)) continue;
    const path = dirname(log.directory);
    const topics = byDirectory.get(path) ?? new Map<string, DescribeLogDirsTopic>();
    byDirectory.set(path, topics);
    const topic = topics.get(name) ?? { name, partitions: [] };
    topics.set(name, topic);
    const partitionSize = BigInt(log.sizeBytes + payloads.totalBytes);
    topic.partitions.push({ partitionIndex: index, partitionSize, offsetLag: 0n, isFutureKey: false });
  }
  return byDirectory;
}
