import assert from 'node:assert/strict';
import { PayloadError, readChecked } from './checked-reads.ts';
import type { PayloadSegment } from './segment.ts';
import { StoreError } from './stores/messages.ts';
import { ObjectError } from './tiers/s3/objects.ts';

const RANGE = { position: 0, length: 1, seed: 0, expected: 0 };

describe('readChecked', () => {
  /** What reads of a segment that fail so are taken for. */
  async function reasonOf(failure: Error): Promise<string> {
    const segment = { id: 0, path: 'file', outage: null, read: () => Promise.reject(failure) };
    const [error] = await readChecked(segment as unknown as PayloadSegment, [RANGE]);
    assert.ok(error instanceof PayloadError);
    return error.reason;
  }

  const ofFile = (code: string) => Object.assign(new Error('no luck'), { code });

  it('takes for missing what was looked for, and is not there', async () => {
    for (const error of [
      new Error('no record refers to it any more'),
      ofFile('ENOENT'),
      ofFile('EIO'),
      new StoreError('ENOENT', 'no store has it'),
      new ObjectError('ENOENT', 'there is no such object'),
    ])
      assert.equal(await reasonOf(error), 'missing', error.message);
  });

  it('does not take for missing what could not be looked for', async () => {
    for (const error of [
      ofFile('EMFILE'),
      ofFile('EACCES'),
      new StoreError('EAGAIN', 'not every store answers'),
      new ObjectError('EHOSTDOWN', 'the object store is out of use'),
      new ObjectError('ENOSPC', 'there is no room for what is downloaded'),
      new ObjectError('EIO', 'another answer than was asked for came'),
    ])
      assert.equal(await reasonOf(error), 'unreachable', error.message);
  });
});
