import assert from 'node:assert/strict';
import { type Broker, sharedBroker } from './harness/broker.ts';
import { until } from './harness/child.ts';
import { type Client, clientKinds, helperClient, requireToolchain, sharedClient } from './harness/client.ts';
import type { PlannedRecord } from './harness/payload.ts';

const firstTimestamp = Date.now() - 3_600_000;
const count = 12;

/** Record i carries the timestamp of minute i; every third one is large enough to be diverted. */
function minutes(): PlannedRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    key: `k${i}`,
    size: i % 3 === 0 ? 100_000 : 100,
    seed: i,
    headers: [],
    timestamp: firstTimestamp + i * 60_000,
  }));
}

describe('timestamps and deletion', () => {
  let broker: Broker;
  let helper: Client;

  before(async () => {
    broker = await sharedBroker();
    helper = helperClient(broker.bootstrap);
  });

  async function fill(topic: string, client: Client): Promise<void> {
    for (const record of minutes())
      await client.call('produce', { topic, partition: 0, codec: 'none', acks: -1, records: [record] });
  }

  async function beginning(topic: string): Promise<number> {
    return (await helper.call('lookup', { topic, partition: 0, timestamp: firstTimestamp - 1000 })).offset;
  }

  for (const kind of clientKinds) {
    it(`${kind.name} finds an offset by timestamp`, async function () {
      requireToolchain(this, kind.setup);
      const client = sharedClient(kind, broker.bootstrap);
      const topic = `lookup-${kind.name}`;
      await helper.call('create', { topic, partitions: 1, configs: {} });
      await fill(topic, helper);
      const found = async (timestamp: number) =>
        (await client.call('lookup', { topic, partition: 0, timestamp })).offset;
      assert.equal(await found(firstTimestamp - 1), 0);
      assert.equal(await found(firstTimestamp + 3 * 60_000), 3);
      assert.equal(await found(firstTimestamp + 3 * 60_000 + 1), 4);
      assert.equal(await found(firstTimestamp + 7 * 60_000 - 1), 7);
    });

    it(`${kind.name} deletes records, then the topic`, async function () {
      requireToolchain(this, kind.setup);
      const client = sharedClient(kind, broker.bootstrap);
      const { lacks } = await client.call('hello', {});
      if (lacks?.includes('delete')) return; // this client has no such command
      const topic = `delete-${kind.name}`;
      await client.call('create', { topic, partitions: 1, configs: {} });
      await fill(topic, client);
      await client.call('deleteRecords', { topic, partition: 0, offset: 5 });
      assert.equal(await beginning(topic), 5);
      await client.call('delete', { topic });
      await until('the topic is gone', 10_000, () =>
        client.call('create', { topic, partitions: 1, configs: {} }).then(
          () => true,
          () => false,
        ),
      );
      await client.call('produce', {
        topic,
        partition: 0,
        codec: 'none',
        acks: -1,
        records: minutes().slice(0, 2),
      });
      assert.equal(await beginning(topic), 0);
      await client.call('delete', { topic });
    });
  }
});
