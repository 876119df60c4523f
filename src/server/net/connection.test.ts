import assert from 'node:assert/strict';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { Connection, type ReplySink } from './connection.ts';
import { HeldBudget } from './held-budget.ts';

const noSink: ReplySink = { reply() {}, skip() {}, close() {}, setReading() {}, hurry() {} };

function connection(sink = noSink, clock = new VirtualClock()): Connection {
  return new Connection(1, {
    sink,
    listenerName: 'PLAINTEXT',
    remoteAddress: '127.0.0.1',
    remotePort: 1,
    held: new HeldBudget(1000),
    maxOutstandingBytes: 1000,
    clock,
    onThrottled: () => {},
  });
}

describe('The end of a connection', () => {
  it('is told by one signal, whether it was asked for before or after', () => {
    const early = connection();
    const { closed } = early;
    assert.equal(closed.aborted, false);
    early.end();
    assert.equal(closed.aborted, true);
    assert.equal(early.closed, closed);
    const late = connection();
    late.end();
    assert.equal(late.closed.aborted, true);
  });

  it('is told to who waits and has not stopped waiting', () => {
    const ending = connection();
    const told: string[] = [];
    ending.onClosed(() => told.push('waits'));
    const stop = ending.onClosed(() => told.push('has stopped'));
    stop();
    ending.end();
    ending.onClosed(() => told.push('comes late'));
    assert.deepEqual(told, ['waits', 'comes late']);
  });
});

describe('A connection that is refused', () => {
  let told: string[];
  let clock: VirtualClock;
  let refused: Connection;
  beforeEach(() => {
    told = [];
    clock = new VirtualClock();
    const sink: ReplySink = {
      ...noSink,
      reply: (_id, pieces) => told.push(`reply of ${pieces[0]!.byteLength}`),
      close: () => told.push('close'),
      setReading: (_id, reads) => told.push(`reads: ${reads}`),
    };
    refused = connection(sink, clock);
  });
  const reply = (bytes: number) => [new Uint8Array(bytes)];

  it('is closed at once where no reply is waited for', () => {
    refused.refuse();
    assert.deepEqual(told, ['close']);
  });

  it('is closed when the replies to earlier requests have left, and sends no later one', () => {
    const [first, second, failing, late] = Array.from({ length: 4 }, () => refused.begin());
    refused.finish(late!, reply(4));
    refused.refuse(failing);
    refused.finish(second!, reply(2));
    assert.deepEqual(told, ['reads: false']);
    refused.finish(first!, reply(1));
    assert.deepEqual(told, ['reads: false', 'reply of 1', 'reply of 2', 'close']);
    refused.end();
    clock.tick(1_000_000);
    assert.equal(told.length, 4);
  });

  it('is closed at the earliest request that is refused', () => {
    const [first, second] = [refused.begin(), refused.begin()];
    refused.refuse();
    refused.finish(second, reply(2));
    refused.refuse(first);
    assert.deepEqual(told, ['reads: false', 'close']);
  });

  it('does not wait for replies for ever', () => {
    refused.begin();
    refused.refuse();
    clock.tick(29_999);
    assert.deepEqual(told, ['reads: false']);
    clock.tick(1);
    assert.deepEqual(told, ['reads: false', 'close']);
  });
});
