import assert from 'node:assert/strict';
import { OF_SAME_BATCH_SIZE } from '../protocol/records/payload-reference.ts';
import { type Referenced, referencesOf } from './references.ts';

describe('references of what is asked for', () => {
  const valueIn = (batch: object, index: number): Referenced => ({
    node: 1,
    size: 10,
    crc: index,
    reference: Buffer.from(`whole ${index}`),
    batch,
    copyOfSameBatch: (to, at) => void to.fill(index, at, at + OF_SAME_BATCH_SIZE),
    doing: 'get',
    renew: async () => false,
  });
  const one = {};
  const items = [one, one, {}, one, one].map((batch, i) => ({ value: valueIn(batch, i) }));

  it('are short where the one before is of the same batch', () => {
    const short = (index: number) => Buffer.alloc(OF_SAME_BATCH_SIZE, index);
    const whole = (index: number) => Buffer.from(`whole ${index}`);
    assert.deepEqual(referencesOf(items, 1), [whole(0), short(1), whole(2), whole(3), short(4)]);
  });

  it('are whole for a gateway that takes no others', () => {
    assert.deepEqual(
      referencesOf(items, 0),
      items.map(({ value }) => value.reference),
    );
  });
});
