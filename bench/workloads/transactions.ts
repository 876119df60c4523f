import { loadMetrics, type Pass } from '../pass.ts';
import { latencyMetrics, promptProducer } from './latency.ts';
import type { Workload } from './workload.ts';

const partitions = 4;
const size = 1000;
/** Records of a transaction: one, some of each partition, and so many that the commit hardly counts. */
const lengths = [1, 100, 10_000];
const producers = [1, 16];
const commitSeconds = 0.1;
const rate = 1000;

/** Transactions one after the other, as fast as they commit. */
async function commits(pass: Pass, transaction: number, clients: number): Promise<void> {
  const topic = await pass.topic(partitions);
  const { seconds } = pass.options;
  const properties = { 'message.max.bytes': '100000000', 'linger.ms': '0' };
  const load = pass.native.load('transactions', {
    topic,
    partitions,
    size,
    seconds,
    transaction,
    clients,
    properties,
  });
  const { reports, usage } = await pass.measure([load]);
  const { commits = 0, seconds: took = 0 } = reports[0]!;
  pass.record(
    'transactions',
    { records: transaction, producers: clients },
    {
      commitsPerS: commits / took,
      cpuUsPerCommit: ((usage.cpuSeconds ?? Number.NaN) * 1e6) / commits,
      ...loadMetrics(reports[0]!, usage),
    },
  );
  await pass.drop(topic);
}

/** What a read_committed consumer waits for records that are committed every 100 ms. */
async function committedLatency(pass: Pass): Promise<void> {
  const topic = await pass.topic(partitions);
  const load = pass.native.load('latency', {
    topic,
    partitions,
    size,
    rate,
    seconds: pass.options.seconds * 2,
    commit: commitSeconds,
    properties: promptProducer('all'),
  });
  const { reports, usage } = await pass.measure([load]);
  const { cpuUsPerRecord, recordsPerS } = loadMetrics(reports[0]!, usage);
  pass.record(
    'transactions',
    { commit: 'every 100 ms', rate },
    { ...latencyMetrics(reports[0]!), cpuUsPerRecord: cpuUsPerRecord!, recordsPerS: recordsPerS! },
  );
  await pass.drop(topic);
}

export const transactions: Workload = {
  name: 'transactions',
  about: `transactions of 1 KB records on ${partitions} partitions: commits as fast as they go, and from due to read_committed consumer`,
  deployment: 'os',
  onRequest: 'quick',
  once: true,
  async run(pass) {
    for (const clients of producers) for (const length of lengths) await commits(pass, length, clients);
    await committedLatency(pass);
  },
};
