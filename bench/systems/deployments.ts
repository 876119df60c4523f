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
const quickRetention = { 'log.retention.check.interval.ms': '5000' };

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
    about: 'as os, with a listener for direct clients where there is one',
    // Taken where clients name it, too.
    kafabric: { 'log.durability': 'os', 'fabric.provider': 'tcp;ofi_rxm', ...removal },
    kafka: removal,
    topics,
  },
  flush: {
    about: 'acks=all answers when the records are on the device',
    kafabric: { 'log.durability': 'flush', ...removal },
    kafka: { 'log.flush.interval.messages': '1', ...removal },
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
