import assert from 'node:assert/strict';
import { Connection, type ReplySink } from './connection.ts';
import { HeldBudget } from './held-budget.ts';

const sink: ReplySink = { reply() {}, skip() {}, close() {}, setReading() {}, hurry() {} };

function connection(): Connection {
  return new Connection(1, {
    sink,
    listenerName: 'PLAINTEXT',
    remoteAddress: '127.0.0.1',
    remotePort: 1,
    held: new HeldBudget(1000),
    maxOutstandingBytes: 1000,
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
