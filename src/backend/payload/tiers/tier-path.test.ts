import assert from 'node:assert/strict';
import { freeBytesOf } from './tier-path.ts';

describe('A directory of a tier', () => {
  it('leaves a fiftieth of its file system to others, a gigabyte at most, in whole bytes', () => {
    assert.equal(freeBytesOf({ bavail: 1000, blocks: 1001, bsize: 4096 }), 4_096_000 - 82_001);
    assert.equal(freeBytesOf({ bavail: 2 ** 26, blocks: 2 ** 26, bsize: 4096 }), 2 ** 38 - 2 ** 30);
  });
});
