import { StreamsError } from './errors.ts';
import {
  type Graph,
  invalidTopology,
  type SourceNode,
  type StoreSpec,
  type TopicSpec,
  type TopologyNode,
} from './graph.ts';

/** Operators that run together: a task runs one of these for one partition of its source topics. */
export interface SubTopology {
  readonly id: number;
  readonly nodes: readonly TopologyNode[];
  readonly sources: readonly SourceNode[];
  readonly stores: readonly StoreSpec[];
}

/** What a `StreamsBuilder` has built; it does not change any more. */
export class Topology {
  readonly subTopologies: readonly SubTopology[];
  readonly #copartitioned: Graph['copartitioned'];

  constructor(graph: Graph) {
    if (!graph.nodes.some(({ type }) => type === 'source'))
      throw invalidTopology(
        'the topology reads no topic; begin with builder.stream(topic) or builder.table(topic)',
      );
    this.subTopologies = connected(graph.nodes);
    this.#copartitioned = [...graph.copartitioned];
  }

  /** Topics that are read but not made by the application. */
  get sourceTopics(): string[] {
    return unique(this.#topics('source').filter(({ internal }) => !internal)).map(({ name }) => name);
  }

  get repartitionTopics(): TopicSpec[] {
    return unique(this.#topics('source').filter(({ internal }) => internal));
  }

  get sinkTopics(): string[] {
    return unique(this.#topics('sink').filter(({ internal }) => !internal)).map(({ name }) => name);
  }

  #topics(type: 'source' | 'sink'): TopicSpec[] {
    return this.subTopologies.flatMap(({ nodes }) =>
      nodes.flatMap((node) => (node.type === type && 'topic' in node ? [node.topic] : [])),
    );
  }

  /**
   * The number of partitions of every topic that is read: those of source topics are given, those of repartition topics follow.
   * @throws StreamsError NOT_COPARTITIONED when topics that are joined differ
   */
  partitionCounts(sourceCounts: ReadonlyMap<string, number>): Map<TopicSpec, number> {
    const counts = new Map<TopicSpec, number>();
    const open = new Set<TopicSpec>();
    for (const topic of this.#topics('source')) {
      if (!topic.internal) counts.set(topic, sourceCounts.get(topic.name)!);
      else if (topic.partitions !== null) counts.set(topic, topic.partitions);
      else open.add(topic);
    }
    // Each round settles at least one, but for topics that feed only each other, which cannot be built.
    for (let settled = true; settled && open.size > 0; ) {
      settled = false;
      for (const topic of open) {
        const count = this.#joinedWith(topic, counts) ?? this.#fedBy(topic, counts);
        if (count === null) continue;
        counts.set(topic, count);
        open.delete(topic);
        settled = true;
      }
    }
    this.#check(counts);
    return counts;
  }

  #joinedWith(topic: TopicSpec, counts: ReadonlyMap<TopicSpec, number>): number | null {
    const partners = this.#copartitioned
      .filter(({ topics }) => topics.includes(topic))
      .flatMap(({ topics }) => topics.map((partner) => counts.get(partner) ?? 0));
    const most = Math.max(0, ...partners);
    return most === 0 ? null : most;
  }

  #fedBy(topic: TopicSpec, counts: ReadonlyMap<TopicSpec, number>): number | null {
    let most = 0;
    for (const { nodes, sources } of this.subTopologies) {
      if (!nodes.some((node) => node.type === 'sink' && node.topic === topic)) continue;
      for (const source of sources) {
        const count = counts.get(source.topic);
        if (count === undefined) return null;
        most = Math.max(most, count);
      }
    }
    return most === 0 ? null : most;
  }

  #check(counts: ReadonlyMap<TopicSpec, number>): void {
    for (const { topics, by } of this.#copartitioned) {
      const found = topics.map((topic) => counts.get(topic)!);
      if (new Set(found).size <= 1) continue;
      const list = topics.map(({ name }, i) => `${name} has ${found[i]}`).join(', ');
      throw new StreamsError(
        'NOT_COPARTITIONED',
        `${by} needs topics with the same number of partitions, but ${list}; create them alike, or put ` +
          '.repartition({partitions}) before the join',
      );
    }
  }

  /** The topology for people: what is read, done, kept and written. */
  describe(): string {
    const lines: string[] = ['Topology'];
    for (const { id, nodes } of this.subTopologies) {
      lines.push(`  Sub-topology ${id}`);
      for (const node of nodes) {
        const next = nodes.filter(({ parents }) => parents.includes(node)).map(({ name }) => name);
        lines.push(`    ${detail(node)}${next.length > 0 ? ` → ${next.join(', ')}` : ''}`);
      }
    }
    return lines.join('\n');
  }
}

function detail(node: TopologyNode): string {
  switch (node.type) {
    case 'source':
      return `source ${node.name} (topic ${shown(node.topic)})`;
    case 'sink':
      return `sink ${node.name} (topic ${shown(node.topic)})`;
    case 'operator': {
      const stores = node.stores.map(({ name }) => name).join(', ');
      return `${node.name}${stores ? ` (stores ${stores})` : ''}`;
    }
  }
}

function shown({ name, internal }: TopicSpec): string {
  return internal ? `<application>-${name}` : name;
}

function unique(topics: readonly TopicSpec[]): TopicSpec[] {
  return [...new Map(topics.map((topic) => [topic.name, topic])).values()];
}

/** Nodes are together when one is the other's parent, or when they use the same store. */
function connected(nodes: readonly TopologyNode[]): SubTopology[] {
  const group = new Map<TopologyNode, Set<TopologyNode>>(nodes.map((node) => [node, new Set([node])]));
  const join = (one: TopologyNode, other: TopologyNode) => {
    const [to, from] = [group.get(one)!, group.get(other)!];
    if (to === from) return;
    for (const node of from) {
      to.add(node);
      group.set(node, to);
    }
  };
  const users = new Map<string, TopologyNode>();
  for (const node of nodes) {
    for (const parent of node.parents) join(parent, node);
    if (node.type !== 'operator') continue;
    for (const { name } of node.stores) {
      const user = users.get(name);
      if (user === undefined) users.set(name, node);
      else join(user, node);
    }
  }
  return [...new Set(group.values())].map((members, id) => {
    const inOrder = nodes.filter((node) => members.has(node));
    const stores = inOrder.flatMap((node) => (node.type === 'operator' ? node.stores : []));
    return {
      id,
      nodes: inOrder,
      sources: inOrder.filter((node) => node.type === 'source'),
      stores: [...new Map(stores.map((store) => [store.name, store])).values()],
    };
  });
}
