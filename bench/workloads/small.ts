import type { NativeArguments, NativeLoad } from '../generators/native.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import type { Workload } from './workload.ts';

const size = 100;
const partitions = 4;
/** What a Java producer keeps in flight on a connection. */
const depth = 5;

/** `plain` sockets cost the client next to nothing, so that the rate is the broker's; librdkafka is what users have. */
const clients: Record<string, { load: NativeLoad; options: Partial<NativeArguments> }> = {
  sockets: { load: 'raw', options: { depth } },
  librdkafka: {
    load: 'produce',
    options: {
      properties: {
        acks: '1',
        'linger.ms': '0',
        'batch.num.messages': '1',
        'queue.buffering.max.messages': '1000',
        'max.in.flight.requests.per.connection': String(depth),
      },
    },
  },
};

async function measureOne(pass: Pass, client: string, connections: number): Promise<void> {
  const topic = await pass.topic(partitions);
  const { load, options } = clients[client]!;
  const all = { ...options, topic, partitions, size, clients: connections };
  const syscallsPerRequest = await pass.syscalls(() => [pass.native.load(load, { ...all, seconds: 0.5 })]);
  const { reports, usage } = await pass.measure([
    pass.native.load(load, { ...all, seconds: pass.options.seconds }),
  ]);
  pass.record('small', { client, connections }, { ...loadMetrics(reports[0]!, usage), syscallsPerRequest });
  await pass.drop(topic);
}

export const small: Workload = {
  name: 'small',
  about: `requests of one record of ${size} bytes, linger 0, acks=1, ${depth} in flight on each connection`,
  deployment: 'os',
  async run(pass) {
    for (const client of pass.options.quick ? ['sockets'] : Object.keys(clients))
      for (const connections of [1, 4, 64]) await measureOne(pass, client, connections);
  },
};
