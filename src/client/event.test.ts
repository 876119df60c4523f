import assert from 'node:assert/strict';
import { buildBatch } from '../protocol/records/builder.ts';
import { type Event, type EventOrigin, FetchedEvents } from './event.ts';
import { readFetched } from './fetched-batches.ts';
import type { Range } from './selection.ts';

describe('small data that was selected', () => {
  const value = Buffer.from('0123456789');

  function fetched(): Event {
    const batch = buildBatch([{ key: null, value, timestamp: 1n }]);
    const [section] = readFetched(batch, 0n, []).sections;
    const origin = { topic: { name: 't' }, partition: 0 } as EventOrigin;
    return new FetchedEvents(section!, 0n, origin).next()!;
  }

  function select(event: Event, ranges: Range[], target?: ArrayBufferView): void {
    let isThere = false;
    const awaiting = {
      isWanted: true,
      arrived: () => {
        isThere = true;
      },
      failed: (error: Error) => assert.fail(error),
    };
    event.select(event.rangesOf(ranges, 'select')!, target, awaiting);
    assert.ok(isThere);
  }

  it('is in memory of its own, the same whenever it is looked at', async () => {
    const event = fetched();
    assert.equal(event.selected, null);
    select(event, [{ offset: 2, length: 4 }]);
    const selected = event.selected!;
    assert.equal(Buffer.from(selected).toString(), '2345');
    assert.equal(selected.byteOffset % 8, 0, 'it may be numbers');
    assert.equal(event.selected, selected);
    selected.fill(0);
    assert.deepEqual(Buffer.from(await event.data()), value);
  });

  it('may be in several parts, or go to memory that was given', () => {
    const event = fetched();
    select(event, [{ offset: 1, length: 1, count: 3, stride: 4 }]);
    assert.equal(Buffer.from(event.selected!).toString(), '159');
    const target = new Uint8Array(3);
    select(event, [{ offset: 7, length: 3 }], target);
    assert.equal(event.selected, target);
    assert.equal(Buffer.from(target).toString(), '789');
    select(event, [{ offset: 10, length: 0 }]);
    assert.equal(event.selected!.byteLength, 0);
  });
});
