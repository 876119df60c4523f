import type { Uuid } from '../../protocol/wire/types.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import type { Topics } from './consumer/topics.ts';

/** The topics of the cluster, as groups see them. */
export class MetadataTopics implements Topics {
  readonly #metadata: ClusterMetadata;
  #version: bigint;

  constructor(metadata: ClusterMetadata) {
    this.#metadata = metadata;
    this.#version = metadata.version;
    metadata.addListener({
      partitionsCreated: async () => {
        this.#version = metadata.version;
      },
    });
  }

  /** Of the last change that brought partitions, or of the start: it rises over restarts too. */
  get version(): bigint {
    return this.#version;
  }

  byName(name: string): { id: Uuid; partitionCount: number } | null {
    const topic = this.#metadata.topicByName(name);
    return topic === undefined ? null : { id: topic.id, partitionCount: topic.partitions.length };
  }

  byId(id: Uuid): { name: string; partitionCount: number } | null {
    const topic = this.#metadata.topicById(id);
    return topic === undefined ? null : { name: topic.name, partitionCount: topic.partitions.length };
  }

  *names(): Generator<string> {
    for (const { name } of this.#metadata.topics()) yield name;
  }
}
