import assert from 'node:assert/strict';
import type { Measurement } from '../model.ts';
import { groupCases, median, metricOf, percentile, ratioOf, spread, summarize } from './statistics.ts';

function one(system: string, round: number, value: number, size = 1000): Measurement {
  return { workload: 'produce', params: { size }, system, round, metrics: { mbPerS: value } };
}

describe('the statistics of the benchmark', () => {
  it('takes the middle, or the mean of the two in the middle', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.ok(Number.isNaN(median([])));
  });

  it('does not reorder its input', () => {
    const values = [3, 1, 2];
    median(values);
    percentile(values, 0.5);
    assert.deepEqual(values, [3, 1, 2]);
  });

  it('gives percentiles by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1);
    assert.equal(percentile(values, 0.5), 50);
    assert.equal(percentile(values, 0.99), 99);
    assert.equal(percentile(values, 0.999), 100);
    assert.equal(percentile(values, 0), 1);
    assert.equal(percentile([7], 0.5), 7);
  });

  it('states the spread as a part of the median', () => {
    assert.deepEqual(summarize([10, 8, 12]), { median: 10, min: 8, max: 12, count: 3 });
    assert.equal(spread(summarize([10, 8, 12])), 0.2);
    assert.equal(spread(summarize([0, 0])), 0);
  });

  it('divides within a round only: the median of ratios, not the ratio of medians', () => {
    const list = [
      one('a', 0, 10),
      one('b', 0, 1),
      one('a', 1, 20),
      one('b', 1, 20),
      one('a', 2, 30),
      one('b', 2, 15),
    ];
    const ratio = ratioOf(groupCases(list)[0]!, 'a', 'b', 'mbPerS')!;
    assert.deepEqual(ratio, { median: 2, min: 1, max: 10, count: 3 });
  });

  it('leaves out rounds in which the baseline is missing', () => {
    const group = groupCases([one('a', 0, 10), one('a', 1, 30), one('b', 1, 10)])[0]!;
    assert.deepEqual(ratioOf(group, 'a', 'b', 'mbPerS'), { median: 3, min: 3, max: 3, count: 1 });
    assert.equal(ratioOf(group, 'a', 'c', 'mbPerS'), null);
    assert.equal(metricOf(group, 'a', 'p50Ms'), null);
  });

  it('keeps cases apart by their parameters', () => {
    assert.equal(groupCases([one('a', 0, 1), one('a', 0, 1, 100), one('b', 0, 1)]).length, 2);
  });
});
