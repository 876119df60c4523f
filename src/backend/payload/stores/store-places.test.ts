import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import type { PayloadPlaces, SegmentOwner } from '../ports.ts';
import type { PayloadStores } from './payload-stores.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import { StorePlaces } from './store-places.ts';

describe('Places at stores', () => {
  it('are gone through from the first complete segment on, and not without one', async () => {
    const partition = { name: 't-0', directory: '', directoryId: '' };
    const places = new StorePlaces({} as PayloadStores, partition, {} as PayloadPlaces);
    const offsetsOf = (id: number) => ({ first: BigInt(id * 10), last: BigInt(id * 10 + 9) });
    places.owner = { offsetsOf } as SegmentOwner;
    const asked: bigint[] = [];
    places.openReferences = {
      endOffset: 100n,
      from: (offset) => {
        asked.push(offset);
        return Readable.from([]);
      },
    };
    const goThrough = async () => {
      for await (const _ of places.completeReferences()) assert.fail();
    };
    const add = (id: number, isComplete: boolean) =>
      places.segments.set(id, { isComplete } as ReplicatedSegment);
    add(3, false);
    await goThrough();
    assert.deepEqual(asked, []);
    add(7, true);
    add(5, true);
    await goThrough();
    assert.deepEqual(asked, [50n]);
  });
});
