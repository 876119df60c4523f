import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { StreamsGroupHeartbeatRequestTopology } from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import {
  type StreamsGroupTopologyValueSubtopology as Subtopology,
  streamsGroupTopologyValue,
  type StreamsGroupTopologyValue as Topology,
} from '../../../protocol/generated/streams-group-topology-value.ts';
import { encodeVersioned } from '../../../protocol/internal-records.ts';

export type { Subtopology, Topology };

/** Of a topology; applications have a few dozen. */
const SUBTOPOLOGIES_MAX = 1_000;

/** The topology that a member brings; subtopologies in the order of their ids. @throws ApiError STREAMS_INVALID_TOPOLOGY */
export function topologyOf({ epoch, subtopologies }: StreamsGroupHeartbeatRequestTopology): Topology {
  if (subtopologies.length > SUBTOPOLOGIES_MAX)
    throw invalidTopology(
      `The topology has ${subtopologies.length} subtopologies, and ${SUBTOPOLOGIES_MAX} are the most.`,
    );
  const sorted = [...subtopologies].sort((a, b) => (a.subtopologyId < b.subtopologyId ? -1 : 1));
  const ids = new Set<string>();
  for (const subtopology of sorted) {
    const { subtopologyId } = subtopology;
    if (ids.has(subtopologyId)) throw invalidTopology(`Subtopology ${subtopologyId} is there twice.`);
    ids.add(subtopologyId);
    checkCopartitionGroups(subtopology);
  }
  return { epoch, subtopologies: sorted };
}

/** Their members are places in the lists of the subtopology. */
function checkCopartitionGroups(subtopology: Subtopology): void {
  const { subtopologyId, sourceTopics, repartitionSourceTopics, copartitionGroups } = subtopology;
  const isPlace = (list: readonly unknown[]) => (place: number) => place >= 0 && place < list.length;
  for (const group of copartitionGroups)
    if (
      !group.sourceTopics.every(isPlace(sourceTopics)) ||
      !group.repartitionSourceTopics.every(isPlace(repartitionSourceTopics))
    )
      throw invalidTopology(
        `A copartition group of subtopology ${subtopologyId} names a topic that it has not.`,
      );
}

export function invalidTopology(message: string): ApiError {
  return new ApiError(ErrorCode.STREAMS_INVALID_TOPOLOGY, message);
}

export function sameTopology(a: Topology, b: Topology): boolean {
  const bytes = (topology: Topology) => encodeVersioned(streamsGroupTopologyValue, topology, 0);
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}

/** The topics that a subtopology reads: those of others and those of the application itself. */
export function inputTopics({ sourceTopics, repartitionSourceTopics }: Subtopology): string[] {
  return [...sourceTopics, ...repartitionSourceTopics.map(({ name }) => name)];
}

/** All topics that must be there before tasks are assigned. */
export function requiredTopics({ subtopologies }: Topology): Set<string> {
  return new Set(
    subtopologies.flatMap((subtopology) => [
      ...inputTopics(subtopology),
      ...subtopology.stateChangelogTopics.map(({ name }) => name),
    ]),
  );
}

/** The id of the subtopology that reads each topic. */
export function readersOf({ subtopologies }: Topology): Map<string, string> {
  const readers = new Map<string, string>();
  for (const subtopology of subtopologies)
    for (const topic of inputTopics(subtopology)) readers.set(topic, subtopology.subtopologyId);
  return readers;
}
