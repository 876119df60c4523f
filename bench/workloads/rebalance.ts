import { Meter } from '../measure/meter.ts';
import type { Workload } from './workload.ts';

const members = 16;
const partitions = 32;

export const rebalance: Workload = {
  name: 'rebalance',
  about: `a group of ${members} members on ${partitions} partitions: time to form, for the last to join, for it to leave; heartbeats every 200 ms`,
  deployment: 'os',
  onRequest: 'quick',
  once: true,
  async run(pass) {
    const topic = await pass.topic(partitions);
    const properties = { 'heartbeat.interval.ms': '200', 'topic.metadata.refresh.interval.ms': '1000' };
    const load = pass.native.load('group', { topic, partitions, clients: members, properties });
    const meter = new Meter(pass.system.pid);
    await load.ready;
    meter.start();
    load.go();
    const { formSeconds, joinSeconds, leaveSeconds } = await load.report.finally(() => meter.cancel());
    const usage = await meter.stop();
    pass.record(
      'rebalance',
      { members },
      {
        formSeconds: formSeconds!,
        joinSeconds: joinSeconds!,
        leaveSeconds: leaveSeconds!,
        cpuSeconds: usage.cpuSeconds ?? Number.NaN,
        rssMb: usage.peak?.rssMb ?? Number.NaN,
      },
    );
    await pass.drop(topic);
  },
};
