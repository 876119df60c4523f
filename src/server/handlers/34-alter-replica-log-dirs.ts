import type { LogDirMoves } from '../../broker/partitions/moves/log-dir-moves.ts';
import {
  type AlterReplicaLogDirsRequest,
  alterReplicaLogDirsRequest,
} from '../../protocol/generated/alter-replica-log-dirs-request.ts';
import {
  type AlterReplicaLogDirsResponse,
  alterReplicaLogDirsResponse,
} from '../../protocol/generated/alter-replica-log-dirs-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** AlterReplicaLogDirs 1-2: begins to move partitions between the directories of `log.dirs` (KIP-113). */
export function alterReplicaLogDirsHandler({
  moves,
}: {
  readonly moves: Pick<LogDirMoves, 'alter'>;
}): ApiHandler<AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse> {
  return {
    apiKey: alterReplicaLogDirsRequest.apiKey,
    minVersion: 1,
    maxVersion: 2,
    request: alterReplicaLogDirsRequest,
    response: alterReplicaLogDirsResponse,
    handle({ dirs }) {
      const results = [...wanted(dirs)].map(([topicName, paths]) => ({
        topicName,
        partitions: Array.from(paths, ([partitionIndex, path]) => ({
          partitionIndex,
          errorCode: moves.alter(topicName, partitionIndex, path),
        })),
      }));
      return alterReplicaLogDirsResponse.create({ results });
    },
  };
}

/** The directory for each partition, by topic; of several the last counts, as in Kafka. */
function wanted(dirs: AlterReplicaLogDirsRequest['dirs']): Map<string, Map<number, string>> {
  const byTopic = new Map<string, Map<number, string>>();
  for (const { path, topics } of dirs)
    for (const { name, partitions } of topics)
      for (const partition of partitions) {
        const paths = byTopic.get(name) ?? new Map<number, string>();
        byTopic.set(name, paths.set(partition, path));
      }
  return byTopic;
}
