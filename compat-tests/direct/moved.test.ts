import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type Consumer } from '../../src/client/index.ts';
import { freePort } from '../../src/util/free-port.ts';
import { type Broker, startBroker, targetIsKafka } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { patient } from './fixture.ts';

const PULL = { timeoutMs: 30_000 };

describe('a gateway that is at another address when it is started again', () => {
  if (targetIsKafka) return;
  let dir: string;
  let broker: Broker;

  const startAt = async (address: string) => {
    broker = await startBroker({ listeners: [`DIRECT://${address}`], dir });
  };

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-moved-'));
  });
  after(async () => {
    await broker?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it('is found by producers and consumers, which lose nothing and have nothing twice', async () => {
    const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    await startAt(addresses[0]!);
    // What one of them has found out the others would know.
    const connect = () => Client.connect({ bootstrap: addresses, ...patient });
    const clients = [await connect(), await connect(), await connect(), await connect()] as const;
    const [client] = clients;
    const topic = await client.createTopic('events');
    const producer = topic.producer();
    const alone = await clients[1].consumer(['events']);
    const options = { groupId: 'members', heartbeatMs: 200 };
    const member = await clients[2].consumer(['events'], options);
    const expect = async (consumer: Consumer, n: number) => {
      const event = await consumer.pull(PULL);
      assert.deepEqual(event?.metadata, { n });
      event?.acknowledge();
    };
    await producer.push({ n: 0 });
    await expect(alone, 0);
    await expect(member, 0);
    const idle = await clients[3].consumer(['events'], options);
    assert.equal(await idle.pull({ timeoutMs: 2_000 * patience }), null);
    const [owner, other] = member.assignment.length > 0 ? [member, idle] : [idle, member];
    await broker.kill('SIGTERM');
    await startAt(addresses[1]!);
    await producer.push({ n: 1 });
    await expect(alone, 1);
    await expect(owner, 1);
    await owner.close();
    await producer.push({ n: 2 });
    await expect(other, 2);
    await other.close();
    await alone.close();
    const { partitions, members } = await client.groups.describe('members');
    assert.deepEqual([partitions[0]?.committed, members], [3n, []]);
    for (const one of clients) one.close();
  });
});
