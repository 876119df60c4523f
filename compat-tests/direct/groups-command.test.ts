import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Client } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { gatewayProgram } from '../harness/paths.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const run = promisify(execFile);
const PULL = { timeoutMs: 20_000 };

describe('kafabric groups', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let middle: number;

  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
    const topic = await client.createTopic('fields', {
      partitions: 2,
      partitionSelector: { type: 'round-robin' },
    });
    const producer = topic.producer();
    middle = Date.now();
    for (let i = 0; i < 20; i++)
      await producer.push({ i }, content(100, i), { timestamp: i < 10 ? middle - 60_000 : middle });
    const consumer = topic.consumer({ groupId: 'analysis', commitEveryMs: 'manual' });
    for (const event of await collect(6, () => consumer.pull(PULL))) event.acknowledge();
    await consumer.close();
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  const kafabric = async (...args: string[]) =>
    (await run(process.execPath, [gatewayProgram, ...args, '--bootstrap', gateway.direct])).stdout;
  const json = async (...args: string[]) => JSON.parse(await kafabric(...args, '--json'));
  const committed = async () => {
    const { partitions } = await json('groups', 'describe', 'analysis');
    return partitions.map((one: { committed: string | null; end: string; lag: string }) => one);
  };

  it('list and describe groups, with the lag of each partition', async () => {
    assert.deepEqual(await json('groups', 'list'), [{ group: 'analysis', type: 'classic', state: 'Empty' }]);
    assert.match(await kafabric('groups', 'list'), /^group +type +state\nanalysis +classic +Empty\n$/);
    const rows = await committed();
    let read = 0;
    for (const { committed: offset, end, lag } of rows) {
      assert.equal(end, '10');
      assert.equal(Number(end) - Number(offset ?? 0), Number(lag ?? end));
      read += Number(offset ?? 0);
    }
    assert.equal(read, 6);
    assert.match(
      await kafabric('groups', 'describe', 'analysis'),
      /analysis: classic group, Empty, 0 members/,
    );
  });

  it('name the members of a group that is at work, whose offsets cannot be moved', async () => {
    const topic = await client.openTopic('fields');
    const consumer = topic.consumer({ groupId: 'busy', commitEveryMs: 'manual', heartbeatMs: 200 });
    await consumer.pull(PULL);
    const { members, partitions } = await json('groups', 'describe', 'busy');
    assert.equal(members.length, 1);
    assert.deepEqual(
      partitions.map((one: { member: string; client: string; lag: null }) => [
        one.member,
        one.client,
        one.lag,
      ]),
      [0, 1].map(() => [members[0].memberId, 'kafabric-client', null]),
    );
    await assert.rejects(
      kafabric('groups', 'reset', 'busy', '--to', 'latest', '--topic', 'fields', '--execute'),
      /it has 1 members.*stop its consumers first/,
    );
    await assert.rejects(kafabric('groups', 'delete', 'busy'), /NON_EMPTY_GROUP/);
    await consumer.close();
  });

  it('move offsets, to where they are told and no further than there is something', async () => {
    const reset = (to: string, ...more: string[]) =>
      json('groups', 'reset', 'analysis', '--topic', 'fields', '--to', to, ...more);
    const offsetsOf = (changes: { after: string }[]) => changes.map((one) => one.after);
    const before = await committed();
    assert.deepEqual(offsetsOf(await reset('latest')), ['10', '10']);
    assert.deepEqual(await committed(), before, 'nothing was changed');
    assert.deepEqual(offsetsOf(await reset(new Date(middle - 1000).toISOString())), ['5', '5']);
    assert.deepEqual(offsetsOf(await reset('999999')), ['10', '10']);
    assert.deepEqual(offsetsOf(await reset('earliest', '--execute')), ['0', '0']);
    assert.deepEqual(offsetsOf(await reset('3', '--execute')), ['3', '3']);
    assert.deepEqual(
      (await committed()).map((one: { committed: string; lag: string }) => [one.committed, one.lag]),
      [
        ['3', '7'],
        ['3', '7'],
      ],
    );
    const text = await kafabric('groups', 'reset', 'analysis', '--to', 'latest');
    assert.match(text, /^topic +partition +before +after\n/);
    assert.match(text, /nothing was changed: --execute does it\n$/);
    await assert.rejects(kafabric('groups', 'reset', 'analysis', '--to', 'yesterday'), /is no position/);
    const topic = await client.openTopic('fields');
    const consumer = topic.consumer({ groupId: 'analysis', commitEveryMs: 'manual' });
    const events = await collect(14, () => consumer.pull(PULL));
    assert.equal(Math.min(...events.map(({ offset }) => Number(offset))), 3);
    await consumer.close();
  });

  it('delete groups', async () => {
    assert.deepEqual(await json('groups', 'delete', 'analysis'), { group: 'analysis', deleted: true });
    assert.ok(!(await json('groups', 'list')).some(({ group }: { group: string }) => group === 'analysis'));
    await assert.rejects(kafabric('groups', 'describe', 'analysis'), /GROUP_ID_NOT_FOUND.*groups list/);
  });

  it('say as JSON what topics and configs commands did', async () => {
    const created = await json('topics', 'create', 'other', '--partitions', '3');
    assert.deepEqual([created.topic, created.partitions], ['other', 3]);
    assert.deepEqual(await json('configs', 'set', 'other', 'retention.ms=5'), [
      { config: 'retention.ms', value: '5' },
    ]);
    const configs: { config: string; value: string }[] = await json('configs', 'show', 'other');
    assert.equal(configs.find(({ config }) => config === 'retention.ms')!.value, '5');
    assert.deepEqual(await json('topics', 'delete', 'other'), { topic: 'other', deleted: true });
  });
});
