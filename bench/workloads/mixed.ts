import type { Load } from '../generators/load.ts';
import { consumerProperties, producerProperties } from '../generators/native.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { sizesOf, type Workload } from './workload.ts';

const partitions = 4;
const idleSeconds = 1;

async function both(pass: Pass, size: number): Promise<void> {
  const topic = await pass.topic(partitions);
  const { seconds, bytes } = pass.options;
  const loads = (to: string, limits: { seconds: number; bytes: number }): Load[] => [
    pass.native.load('produce', { topic: to, size, ...limits, properties: producerProperties('all') }),
    // It ends when no more records come, which its own time does not count.
    pass.native.load('consume', {
      topic: to,
      partitions,
      idle: idleSeconds,
      properties: consumerProperties,
    }),
  ];
  const syscallsPerRequest = await pass.syscallsApart(partitions, (apart) =>
    loads(apart, { seconds: 0.5, bytes: bytes / 4 }),
  );
  await pass.readyMemory();
  const { reports, usage } = await pass.measure(loads(topic, { seconds, bytes }));
  const [produced, consumed] = [reports[0]!, reports[1]!];
  pass.record(
    'mixed',
    { size },
    {
      ...loadMetrics(produced, usage),
      consumedMbPerS: consumed.bytes! / 1e6 / consumed.seconds!,
      syscallsPerRequest,
      clientCpuPerGb: (produced.clientCpu! + consumed.clientCpu!) / (produced.bytes! / 1e9),
    },
  );
  await pass.drop(topic);
}

export const mixed: Workload = {
  name: 'mixed',
  about: 'a producer and a consumer on the same topic at the same time; CPU per GB that went in and out',
  deployment: 'os',
  onRequest: 'quick',
  async run(pass) {
    for (const size of sizesOf(pass, [100_000], [1000, 100_000, 1_000_000])) await both(pass, size);
  },
};
