import assert from 'node:assert/strict';
import { StreamsBuilder } from '../dsl/builder.ts';
import type { Cluster } from '../transport/cluster.ts';
import { prepare } from './layout.ts';
import { settingsOf } from './options.ts';

interface Created {
  readonly name: string;
  readonly configs: readonly { readonly name: string; readonly value: string }[];
}

/** The configurations of the topics that are made where only `given` exist. */
async function configsOfMade(builder: StreamsBuilder, given: string[]): Promise<Map<string, object>> {
  const made = new Map<string, object>();
  const info = { id: 'id', leaders: [1] };
  const cluster = {
    apis: {},
    retry: (attempt: () => unknown) => attempt(),
    refresh: async (names: string[]) =>
      new Map(names.map((name) => [name, given.includes(name) ? info : null])),
    topic: async () => info,
    callController: async (_api: unknown, [{ name, configs }]: [Created]) => {
      made.set(name, Object.fromEntries(configs.map((config) => [config.name, config.value])));
      return { topics: [{ errorCode: 0 }] };
    },
    idOf: () => 'NONE',
    check: (code: number) => assert.equal(code, 0),
  } as unknown as Cluster;
  const settings = settingsOf({ applicationId: 'app', bootstrap: 'none:1' });
  await prepare(cluster, builder.build(), settings);
  return made;
}

describe('internal topics', () => {
  it('keep the times of records where the brokers’ default is the time of appending', async () => {
    const builder = new StreamsBuilder();
    builder
      .stream('in')
      .groupBy((value) => String(value), { name: 'by' })
      .count({ name: 'count' });
    const made = await configsOfMade(builder, ['in']);
    assert.deepEqual(Object.fromEntries(made), {
      'app-by-by-key-repartition': {
        'cleanup.policy': 'delete',
        'message.timestamp.type': 'CreateTime',
        'retention.ms': '-1',
        // Of which the whole ones are removed that are processed.
        'segment.bytes': '52428800',
      },
      'app-count-changelog': { 'cleanup.policy': 'compact', 'message.timestamp.type': 'CreateTime' },
    });
  });
});
