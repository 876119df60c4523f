import { Load } from '../generators/load.ts';
import {
  installClient,
  isInstalled,
  type NodeClient,
  nodeClients,
  nodeCommand,
} from '../generators/node-clients.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { Omitted, sizesOf, type Workload } from './workload.ts';

/** How many times as long it is measured as other cases. */
const lengthFactor = 4;

async function throughClient(pass: Pass, client: NodeClient, size: number): Promise<void> {
  const topic = await pass.topic(4);
  // @confluentinc's consumer pauses for most of a second now and then: over 250 MB that is a lottery.
  const seconds = pass.options.seconds * lengthFactor;
  const options = { topic, size, seconds, bytes: pass.options.bytes, records: 0 };
  const { bootstrap } = pass.system;
  for (const what of ['produce', 'consume'] as const) {
    if (what === 'consume') await pass.readyMemory();
    const { reports, usage } = await pass.measure([new Load(nodeCommand(client, what, bootstrap, options))]);
    options.records = reports[0]!.records!;
    pass.record('node', { client: client.name, what, size }, loadMetrics(reports[0]!, usage));
  }
  await pass.drop(topic);
}

export const node: Workload = {
  name: 'node',
  about:
    'Node programs with kafkajs and @confluentinc/kafka-javascript: 1 MB a send, 4 sends at once, acks=all',
  deployment: 'os',
  onRequest: 'quick',
  once: true,
  async run(pass) {
    const missing: string[] = [];
    for (const client of nodeClients) {
      // What takes minutes to build is not begun by a run that should take two.
      if (!isInstalled(client) && !(client.slow && pass.options.quick)) installClient(client);
      if (!isInstalled(client)) missing.push(`${client.name}: node compat-tests/setup.mjs ${client.setup}`);
      else for (const size of sizesOf(pass, [1000], [1000])) await throughClient(pass, client, size);
    }
    if (missing.length > 0) throw new Omitted(`not installed: ${missing.join('; ')}`);
  },
};
