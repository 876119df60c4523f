import assert from 'node:assert/strict';
import { ErrorCode } from '../../../protocol/errors.ts';
import { settled, VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { MemoryOffsetsLog } from '../coordinator.fixture.ts';
import { Offsets } from '../offsets.ts';
import { ShardLog } from '../shard-log.ts';
import type { Group } from './context.ts';
import { consumerWriter } from './group-writer.ts';

describe('what is written of groups of the consumer protocol', () => {
  const empty = { groupId: 'g', records: [] };
  const epoch = { kind: 'epoch', value: { epoch: 1, metadataHash: 0n } } as const;

  it('may take too long for whoever waits, and holds up nobody once it is there', async () => {
    const [clock, log] = [new VirtualClock(), new MemoryOffsetsLog()];
    const shardLog = new ShardLog({ log, partition: 0, offsets: new Offsets(), clock, timeoutMs: 5000 });
    const failures: unknown[] = [];
    const groups = new Map<string, Group>();
    const writer = consumerWriter({ groups, log: shardLog, failed: (error) => failures.push(error) });
    log.hold();
    const slow = assert.rejects(writer.write({ groupId: 'g', records: [epoch] }), {
      code: ErrorCode.REQUEST_TIMED_OUT,
    });
    clock.tick(3000);
    const behind = assert.rejects(writer.write(empty), { code: ErrorCode.REQUEST_TIMED_OUT });
    clock.tick(2000);
    await slow;
    clock.tick(3000);
    await behind;
    log.release();
    await settled();
    await writer.write(empty);
    assert.deepEqual(failures, []);
    assert.equal(log.records.length, 1);
    assert.equal(clock.pending, 0);
  });
});
