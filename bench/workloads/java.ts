import { JavaGenerator } from '../generators/java.ts';
import type { Report } from '../generators/load.ts';
import { Meter } from '../measure/meter.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { kafkaLibraries } from '../systems/kafka.ts';
import { sizesOf, type Workload } from './workload.ts';

async function measured(pass: Pass, run: () => Promise<Report>): Promise<ReturnType<typeof loadMetrics>> {
  const meter = new Meter(pass.system.pid);
  meter.start();
  const report = await run().finally(() => meter.cancel());
  return { ...loadMetrics(report, await meter.stop()), clientCpuPerGb: Number.NaN };
}

/** Below it the figures are those of a client that is still being compiled. */
const fullBytes = 1.2e9;

export const java: Workload = {
  name: 'java',
  about:
    "Kafka's own ProducerPerformance (payload file, acks=all) and ConsumerPerformance; broker CPU includes their connecting",
  deployment: 'os',
  onRequest: 'quick',
  once: true,
  async run(pass) {
    const generator = new JavaGenerator(kafkaLibraries(), pass.system.bootstrap);
    const bytes = pass.options.quick ? 150e6 : fullBytes;
    for (const size of sizesOf(pass, [100_000], [1000, 100_000])) {
      const records = Math.ceil(bytes / size);
      const topic = await pass.topic(4);
      pass.record(
        'java',
        { tool: 'producer', size },
        await measured(pass, () => generator.produce(topic, size, records)),
      );
      await pass.readyMemory();
      pass.record(
        'java',
        { tool: 'consumer', size },
        await measured(pass, () => generator.consume(topic, size, records)),
      );
      await pass.drop(topic);
    }
  },
};
