/** Broker settings that a workload asks for, the same promise on every system. */
export interface Deployment {
  about: string;
  kafabric: Record<string, string>;
  kafka: Record<string, string>;
  /** Settings of every topic, on every system. */
  topics: Record<string, string>;
}

/** The files of a dropped topic go soon, on every system: what is left of one case is not the next one's load (Kafka goes by the broker's setting). */
const topics = { 'file.delete.delay.ms': '1000' };
const removal = { 'log.segment.delete.delay.ms': '1000' };
const quickCleaner = { 'log.cleaner.backoff.ms': '100' };
const quickRetention = { 'log.retention.check.interval.ms': '5000' };

/** A provider without RDMA is taken where clients name it, too. */
const direct = { 'direct.mapped.listeners': 'DIRECT', 'fabric.provider': 'tcp;ofi_rxm' };

/** Whole segments move, so that they are small. Where they are is the system's matter. */
const tiered = {
  'log.channel.type': 'tiered',
  'storage.tiers.types': 'SSD,HDD',
  'payload.segment.bytes': '67108864',
};

export const deployments = {
  os: {
    about: 'acks=all answers when the operating system has the records (Kafka on one node by default)',
    kafabric: { 'log.durability': 'os', ...removal },
    kafka: removal,
    topics,
  },
  kept: {
    about: 'as os, with the files of dropped topics kept for a minute, the default of both',
    kafabric: { 'log.durability': 'os' },
    kafka: {},
    topics: {},
  },
  direct: {
    about: 'as os, with a listener for direct clients, who may map memory, where there is one',
    kafabric: { 'log.durability': 'os', ...direct, ...removal },
    kafka: removal,
    topics,
  },
  directKept: {
    about: 'as direct, with the files of dropped topics kept for a minute, the default of both',
    kafabric: { 'log.durability': 'os', ...direct },
    kafka: {},
    topics: {},
  },
  flush: {
    about: 'acks=all answers when the records are on the device',
    kafabric: { 'log.durability': 'flush', ...removal },
    kafka: { 'log.flush.interval.messages': '1', ...removal },
    topics,
  },
  compaction: {
    about: 'as os, with a cleaner that looks for work ten times a second',
    kafabric: { 'log.durability': 'os', ...removal, ...quickCleaner },
    kafka: { ...removal, ...quickCleaner },
    topics,
  },
  burst: {
    about:
      'as os, with a first tier of 3 GB in memory that what is older leaves at once, where there are tiers',
    kafabric: {
      ...{ 'log.durability': 'os', ...removal, ...tiered },
      'storage.tiers.types': 'MEMORY,SSD',
      'storage.tiers.first.sizes': '3000000000',
      'storage.migrate.threshold': '0',
      'storage.migrate.bytes.per.second': '268435456',
    },
    kafka: removal,
    topics,
  },
  moving: {
    about:
      'as os, with two tiers on the same disk; what is in the first stays there, unless it is pinned to the second',
    kafabric: { 'log.durability': 'os', ...removal, ...tiered, 'storage.migrate.threshold': '1' },
    kafka: removal,
    topics,
  },
  movingFlush: {
    about: 'as moving, and acks=all answers when the records are on the device',
    kafabric: { 'log.durability': 'flush', ...removal, ...tiered, 'storage.migrate.threshold': '1' },
    kafka: removal,
    topics,
  },
  soak: {
    about: 'as os, with retention that keeps the disk from filling',
    kafabric: { 'log.durability': 'os', ...removal, ...quickRetention },
    kafka: { ...removal, ...quickRetention },
    topics,
  },
} satisfies Record<string, Deployment>;

export type DeploymentName = keyof typeof deployments;

function joined(settings: Record<string, string>): string {
  const pairs = Object.entries(settings).map((pair) => pair.join('='));
  return pairs.join(', ') || 'none';
}

/** For the report, what a side is set to in each workload: "produce, consume: log.durability=os; produce-kept: none". */
export function settingsText(
  chosen: readonly { name: string; deployment: DeploymentName }[],
  side: 'kafabric' | 'kafka' | 'topics',
  everywhere: Record<string, string>,
): string {
  const names = new Map<string, string[]>();
  for (const { name, deployment } of chosen) {
    const text = joined({ ...deployments[deployment][side], ...everywhere });
    names.set(text, [...(names.get(text) ?? []), name]);
  }
  return [...names].map(([text, workloads]) => `${workloads.join(', ')}: ${text}`).join('; ');
}

/** The systems that the benchmark can start, by the name given to --systems. */
export interface Variant {
  kind: 'kafabric' | 'kafka' | 'bare';
  about: string;
  settings: Record<string, string>;
  /** Java heap: a size, or `default` for what the virtual machine takes by itself. */
  heap?: string;
}

export const variants: Record<string, Variant> = {
  kafabric: { kind: 'kafabric', about: 'default settings', settings: {} },
  'kafabric-disk': {
    kind: 'kafabric',
    about: 'every answer waits for the device: log.ack=disk',
    settings: { 'log.ack': 'disk' },
  },
  'kafabric-prepared': {
    kind: 'kafabric',
    about: 'space is written ahead: log.recycle.prepare.bytes',
    settings: { 'log.recycle.bytes': '25769803776', 'log.recycle.prepare.bytes': '25769803776' },
  },
  kafka: {
    kind: 'kafka',
    about: 'default settings, heap 1g as its start script has it',
    settings: {},
    heap: '1g',
  },
  'kafka-default-heap': {
    kind: 'kafka',
    about: "default settings, Java's own choice of heap",
    settings: {},
    heap: 'default',
  },
  bare: {
    kind: 'bare',
    about:
      'receives, checks CRC-32C, writes with O_DIRECT to files written before, and answers; keeps nothing',
    settings: {},
  },
};
