// Many writers, several readers: node examples/partitioned/run.mjs [ranks] [steps]
// The ranks of a simulation, processes of their own, push their part of each step. The topic's selector puts a rank's events into one partition,
// where they stay in order; two analyses of one group share the partitions.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client } from 'kafabric/client';
import { withGateway } from '../gateway.mjs';

const PARTITIONS = 4;
const CELLS = 64 * 64;

/** One rank of the simulation. */
async function simulate(direct, rank, steps) {
  const client = await Client.connect({ bootstrap: direct });
  const producer = (await client.openTopic('domain')).producer();
  for (let step = 0; step < steps; step++)
    await producer.push({ rank, step }, new Float64Array(CELLS).fill(rank * 1000 + step));
  await producer.close();
  client.close();
}

/** One analysis: the mean of what each event holds, until all have been seen by somebody. */
async function analyse(client, name, seen, total) {
  const topic = await client.openTopic('domain');
  const consumer = topic.consumer({ groupId: 'analysis', select: 'all', heartbeatMs: 200 });
  const ranks = new Map();
  while (seen.size < total) {
    const event = await consumer.pull({ timeoutMs: 500 });
    if (event === null) continue;
    const { rank, step } = event.metadata;
    const values = new Float64Array(Uint8Array.from(event.selected).buffer);
    if (values.some((value) => value !== rank * 1000 + step))
      throw new Error(`rank ${rank} step ${step} is damaged`);
    seen.add(`${rank} ${step}`);
    if (step < (ranks.get(rank) ?? -1)) console.log(`${name} sees rank ${rank} step ${step} again`);
    ranks.set(rank, step);
    event.acknowledge();
  }
  const partitions = consumer.assignment.map(({ partition }) => partition);
  console.log(
    `${name} had partitions ${partitions.join(', ')} and ranks ${[...ranks.keys()].sort().join(', ')}`,
  );
  await consumer.close();
}

async function main(ranks, steps) {
  await withGateway({}, async ({ direct }) => {
    const client = await Client.connect({ bootstrap: direct });
    await client.createTopic('domain', {
      partitions: PARTITIONS,
      partitionSelector: { type: 'field', field: 'rank' },
    });
    const processes = Array.from({ length: ranks }, (_, rank) =>
      fork(fileURLToPath(import.meta.url), ['rank', direct, rank, steps]),
    );
    const ended = processes.map(
      (one) =>
        new Promise((resolve, reject) =>
          one.once('exit', (code) =>
            code === 0 ? resolve() : reject(new Error(`a rank ended with ${code}`)),
          ),
        ),
    );
    const seen = new Set();
    const analyses = ['analysis A', 'analysis B'].map((name) => analyse(client, name, seen, ranks * steps));
    await Promise.all([...ended, ...analyses]);
    console.log(`${seen.size} events of ${ranks} ranks in ${PARTITIONS} partitions, each seen`);
    client.close();
  });
}

const [first = '4', second = '10', ...rest] = process.argv.slice(2);
if (first === 'rank') await simulate(second, Number(rest[0]), Number(rest[1]));
else await main(Number(first), Number(second));
