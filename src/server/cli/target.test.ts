import assert from 'node:assert/strict';
import { positionOf, tableOf } from './target.ts';

describe('positions on the command line', () => {
  const zone = process.env.TZ;
  before(() => {
    process.env.TZ = 'Asia/Tokyo';
  });
  after(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it('are of UTC where they do not say otherwise, wherever the command is run', () => {
    const noon = { timestamp: Date.UTC(2026, 0, 31, 12) };
    for (const text of [
      '2026-01-31T12:00:00Z',
      '2026-01-31T12:00:00',
      '2026-01-31T12:00',
      '2026-01-31 12:00:00.000',
      '2026-01-31T13:00+01:00',
    ])
      assert.deepEqual(positionOf(text), noon, text);
    assert.deepEqual(positionOf('2026-01-31'), { timestamp: Date.UTC(2026, 0, 31) });
  });

  it('are refused where they are none', () => {
    assert.deepEqual(positionOf(String(2n ** 63n - 1n)), { offset: 2n ** 63n - 1n });
    for (const text of [
      '2026-02-30',
      '2026-02-30T12:00:00Z',
      '2026-13-01',
      '2026-01-31T25:00',
      '2026-01-31 noon',
      '2026-01-31T12:00 Z',
      String(2n ** 63n),
      '-1',
      '',
    ])
      assert.throws(() => positionOf(text), /is no position: earliest, latest, an offset, or a time/, text);
  });
});

describe('a table', () => {
  it('has its columns below each other, whatever names are made of', () => {
    const rows = [
      { group: '組', state: 'Empty' },
      { group: 'e\u0301', state: 'Stable' },
      { group: '🚀x', state: null },
    ];
    assert.equal(tableOf(rows), 'group  state\n組     Empty\ne\u0301      Stable\n🚀x    -\n');
  });

  it('shows what a terminal would act on', () => {
    const rows = [{ group: 'a\nb', client: '\u001b[2J\u202e\u009b' }];
    assert.equal(tableOf(rows), 'group    client\na\\u{a}b  \\u{1b}[2J\\u{202e}\\u{9b}\n');
  });
});
