import assert from 'node:assert/strict';
import { compileRegex, estimateSize } from './re2.ts';

describe('regular expressions of subscriptions', () => {
  it('are compiled when they are of a usual size', () => {
    for (const regex of [
      'orders-.*',
      '(a|b)+c{2,5}',
      '[a-z]{1000}[0-9]{500}',
      '\\p{L}{3}\\{9\\}',
      `${'a'.repeat(4096)}`,
    ])
      assert.ok(compileRegex(regex).programSize() > 0, regex);
    assert.ok(compileRegex('orders-.*').matches('orders-1'));
  });

  it('are refused by their size before they are compiled', () => {
    const refused = [
      `${'(a{1000}b{1000})'.repeat(200)}`,
      '((((a{100}){100}){100}){100})',
      '(([a-z]{1000}){1000})',
      '(((x{2,500}){9,100}y)*){7,}',
    ];
    for (const regex of refused) assert.throws(() => compileRegex(regex), /too complex/, regex.slice(0, 40));
    assert.throws(() => compileRegex('a'.repeat(4097)), /4097 characters/);
  });

  it('are never taken for much smaller than their programs', () => {
    for (const regex of [
      'a',
      'a{3}',
      '(ab){10}',
      '((ab){3}c){7}',
      'a|b|c',
      '[a-f]{9}',
      'x*y+z?',
      '(a{5}|b){20}',
    ]) {
      const estimate = estimateSize(regex);
      const size = compileRegex(regex).programSize();
      assert.ok(size <= 4 * estimate + 16, `${regex}: ${estimate} for ${size}`);
    }
  });

  it('are estimated also when they are none', () => {
    for (const regex of ['', '(', ')))', '{5}', 'a{', 'a{99999999999}', '\\'])
      assert.ok(estimateSize(regex) >= 0);
  });
});
