import assert from 'node:assert/strict';
import { linearPattern } from './linear-pattern.ts';

describe('linearPattern', () => {
  it('matches the whole text', () => {
    const matches = linearPattern('a.*|b');
    assert.deepEqual(['a', 'abc', 'b', 'bc', 'xa'].map(matches), [true, true, true, false, false]);
  });

  it('refuses what needs backtracking, and what is no pattern', () => {
    for (const pattern of ['(a)\\1', '(?=a)b', '(?<!a)b', '(', '[', 'a)|(?:b']) {
      assert.throws(() => linearPattern(pattern), SyntaxError, pattern);
    }
  });
});
