import assert from 'node:assert/strict';
import { mergedText, mergeReports } from './merge.ts';
import { commandFor, parsePlan, type RawClientOptions, shares } from './plan.ts';
import { folderIn } from './run.ts';

const raw: RawClientOptions = {
  type: 'producer',
  bootstrap: 'h:1',
  numRecords: '10',
  hosts: 'node-1 node-2, node-3',
  threads: '16',
  topic: 't',
  partitions: '48',
  recordSize: '1KB',
  ssh: 'ssh -p 2222',
};

describe('clients on many hosts', () => {
  it('adds what they did; the slowest ends the run', () => {
    const merged = mergeReports([
      { records: 100, bytes: 1e6, seconds: 1, clientCpu: 0.5, failed: 0 },
      { records: 300, bytes: 3e6, seconds: 2, clientCpu: 0.25, failed: 1 },
    ]);
    const rates = { mbPerS: 2, recordsPerS: 200 };
    assert.deepEqual(merged, { records: 400, bytes: 4e6, seconds: 2, clientCpu: 0.75, failed: 1, ...rates });
    assert.equal(mergeReports([]).mbPerS, 0);
  });

  it('shows failures and a line for all', () => {
    const report = { records: 2, bytes: 2e6, seconds: 1, failed: 3 };
    const text = mergedText([
      { host: 'a', report },
      { host: 'b', report: { ...report, failed: 0 } },
    ]);
    const lines = text.split('\n');
    assert.match(lines[0]!, /^a +2 records in 1.00 s, 2.0 MB\/s, 2 records\/s, 3 FAILED$/);
    assert.match(lines[2]!, /^all +4 records in 1.00 s, 4.0 MB\/s/);
    assert.equal(mergedText([{ host: 'a', report }]).split('\n').length, 1);
  });

  it('divides the records without losing any', () => {
    assert.deepEqual(shares(10, 3), [4, 3, 3]);
    assert.deepEqual(shares(2, 3), [1, 1, 0]);
  });

  it('gives each host its share, and consumers their partitions', () => {
    const plan = parsePlan(raw);
    assert.deepEqual(plan.hosts, ['node-1', 'node-2', 'node-3']);
    assert.deepEqual(plan.ssh, ['ssh', '-p', '2222']);
    const producer = commandFor(plan, 0, '/x/client');
    assert.deepEqual(producer.slice(0, 2), ['/x/client', 'produce']);
    for (const word of ['bootstrap=h:1', 'clients=16', 'records=4', 'size=1000', 'acks=1'])
      assert.ok(producer.includes(word), word);
    const consumer = commandFor(parsePlan({ ...raw, type: 'consumer' }), 2, '/x/client');
    for (const word of ['part=2', 'parts=3', 'records=3', 'partitions=48'])
      assert.ok(consumer.includes(word), word);
  });

  it('takes the new folder of a host, whatever its shell says before', () => {
    assert.equal(folderIn('Welcome to node-1\n/tmp/tmp.Ab3-_x\n'), '/tmp/tmp.Ab3-_x');
    for (const wrong of ['', 'Welcome\n', '/tmp/a b', '/tmp/x; y'])
      assert.throws(() => folderIn(wrong), /no new folder/);
  });

  it('lets properties of the user win', () => {
    assert.ok(commandFor(parsePlan({ ...raw, property: ['acks=all'] }), 0, 'c').includes('acks=all'));
  });

  it('refuses what cannot be meant', () => {
    assert.throws(() => parsePlan({ ...raw, type: 'both' }), /producer and consumer/);
    assert.throws(() => parsePlan({ ...raw, numRecords: '1.5' }), /whole number/);
    assert.throws(() => parsePlan({ ...raw, hosts: ' ' }), /--hosts is empty/);
    // No records would be no limit, and a consumer without a partition waits for nothing.
    assert.throws(() => parsePlan({ ...raw, numRecords: '2' }), /3 hosts need one each/);
    assert.throws(() => parsePlan({ ...raw, type: 'consumer', partitions: '2' }), /3 hosts need one each/);
    assert.equal(parsePlan({ ...raw, partitions: '2' }).partitions, 2);
    assert.throws(() => parsePlan({ ...raw, hosts: '-oProxyCommand=x' }), /is not a host/);
  });
});
