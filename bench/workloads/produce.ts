import { setTimeout as sleep } from 'node:timers/promises';
import { topicDefinitionsByName } from '../../src/config/definitions/index.ts';
import { producerProperties } from '../generators/native.ts';
import type { Params } from '../model.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { allSizes, quickSizes, sizesOf, type Workload } from './workload.ts';

export interface ProduceCase {
  size: number;
  acks: string;
  compression: string;
  partitions: number;
  producers: number;
  /** `plain`: the log has them as they were produced, whatever their size. */
  batches?: 'plain';
}

/**
 * How many times as long the plain cases are measured, nearer to the rate that lasts: where the page cache finds memory that was in use
 * just before, the first gigabyte is faster by far than what follows.
 */
export const sustainedFactor = 3;

/** Records from which the batches of a topic are not plain by default. */
const divertedFrom = Number(topicDefinitionsByName.get('payload.min.bytes')!.default);

/** After which the files of a dropped topic are gone: removing them is not the next case's load, and their space can be written again. */
const removalMs = 2000;

const plain = { acks: 'all', compression: 'none', partitions: 4, producers: 1 };

/** The plain case at every size, then one thing changed at a time. */
function cases(pass: Pass): ProduceCase[] {
  const { quick } = pass.options;
  const sizes = sizesOf(pass, quickSizes, allSizes);
  const varied = sizesOf(pass, [100_000], [1000, 100_000]);
  const changes: Partial<ProduceCase>[] = [
    { acks: '1' },
    { compression: 'lz4' },
    ...(quick ? [] : [{ compression: 'zstd' }]),
    ...(quick ? [1, 100] : [1, 100, 1000]).map((partitions) => ({ partitions })),
    { producers: 64 },
  ];
  return [
    ...sizes.map((size) => ({ ...plain, size })),
    ...varied.flatMap((size) => changes.map((change) => ({ ...plain, ...change, size }))),
  ];
}

/** Compressible data where compression is measured: half random, half blank. */
function entropy(compression: string): number {
  return compression === 'none' ? 1 : 0.5;
}

/** Produces one case to `topic` and records its figures. */
async function produceCase(
  pass: Pass,
  workload: string,
  one: ProduceCase,
  topic: string,
  factor = 1,
): Promise<void> {
  const seconds = pass.options.seconds * factor;
  const bytes = pass.options.bytes * factor;
  const properties = producerProperties(one.acks, one.compression);
  // Many producers share what one has as its queue.
  const queue = Math.max(4096, Math.round(131_072 / one.producers));
  properties['queue.buffering.max.kbytes'] = String(Math.max(queue, Math.ceil(one.size / 1000) * 2));
  const shape = {
    topic,
    size: one.size,
    clients: one.producers,
    entropy: entropy(one.compression),
    properties,
  };
  const syscallsPerRequest = await pass.syscalls(() => [
    pass.native.load('produce', { ...shape, seconds: 0.5, bytes: pass.options.bytes / 4 }),
  ]);
  const { reports, usage } = await pass.measure([pass.native.load('produce', { ...shape, seconds, bytes })]);
  const report = reports[0]!;
  const { size, ...rest } = one;
  const params: Params = { size, ...rest };
  pass.record(workload, params, { ...loadMetrics(report, usage), syscallsPerRequest });
}

export const produce: Workload = {
  name: 'produce',
  about:
    'one librdkafka producer, as fast as the broker takes records; 4 partitions and acks=all unless said otherwise',
  deployment: 'os',
  producesOnly: true,
  async run(pass) {
    for (const one of cases(pass)) {
      const isPlain =
        one.acks === 'all' && one.compression === 'none' && one.producers === 1 && one.partitions === 4;
      if (pass.system.producesOnly && !isPlain) continue;
      const topic = await pass.topic(one.partitions);
      await produceCase(pass, 'produce', one, topic, isPlain && !pass.options.quick ? sustainedFactor : 1);
      await pass.drop(topic);
      if (isPlain) await sleep(removalMs);
    }
  },
};

export const produceKept: Workload = {
  name: 'produce-kept',
  about:
    "as produce, with both brokers' default for the files of dropped topics: they stay for a minute, so that what one case has used is not the next one's; plain batches: nothing of them goes to the payload store (payload.min.bytes=-1)",
  deployment: 'kept',
  onRequest: 'quick',
  producesOnly: true,
  async run(pass) {
    const { plainTopicConfig } = pass.system;
    const measure = async (one: ProduceCase, config: Record<string, string>) => {
      const topic = await pass.topic(one.partitions, config);
      await produceCase(pass, 'produce-kept', one, topic, pass.options.quick ? 1 : sustainedFactor);
      await pass.drop(topic);
    };
    for (const size of sizesOf(pass, [1_000_000], [1000, 10_000, 100_000, 1_000_000, 10_000_000])) {
      await measure({ ...plain, size }, {});
      if (size >= divertedFrom && plainTopicConfig !== null)
        await measure({ ...plain, size, batches: 'plain' }, plainTopicConfig);
    }
  },
};

export const fsync: Workload = {
  name: 'fsync',
  about: 'as produce, acknowledged when the records are on the device, on every system',
  deployment: 'flush',
  onRequest: 'quick',
  async run(pass) {
    for (const size of sizesOf(pass, [1000, 100_000], [1000, 100_000, 1_000_000])) {
      const topic = await pass.topic(plain.partitions);
      await produceCase(pass, 'fsync', { ...plain, size }, topic);
      await pass.drop(topic);
    }
  },
};
