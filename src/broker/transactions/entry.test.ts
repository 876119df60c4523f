import assert from 'node:assert/strict';
import { TransactionEntry } from './entry.ts';

describe('TransactionEntry', () => {
  it('wakes who waits for its next step, once, and keeps nobody who does so no longer', () => {
    const entry = new TransactionEntry('tx', {} as never);
    const woken: string[] = [];
    entry.onChange(() => woken.push('waits'));
    const forget = entry.onChange(() => woken.push('waited'));
    forget();
    entry.notify();
    entry.notify();
    assert.deepEqual(woken, ['waits']);
  });
});
