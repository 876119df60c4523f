import assert from 'node:assert/strict';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { combineBatches, DeliveryState, type StateBatch } from './partition-state.ts';

const { AVAILABLE, ACKNOWLEDGED, ARCHIVED } = DeliveryState;

function batch(first: number, last: number, deliveryState: number, deliveryCount: number): StateBatch {
  return { firstOffset: BigInt(first), lastOffset: BigInt(last), deliveryState, deliveryCount };
}

describe('batches of a state', () => {
  it('are put over each other, and joined', () => {
    assert.deepEqual(
      combineBatches(
        [batch(0, 9, AVAILABLE, 1)],
        [batch(3, 5, ACKNOWLEDGED, 1), batch(6, 6, ACKNOWLEDGED, 1), batch(20, 21, ARCHIVED, 1)],
        1n,
      ),
      [
        batch(1, 2, AVAILABLE, 1),
        batch(3, 6, ACKNOWLEDGED, 1),
        batch(7, 9, AVAILABLE, 1),
        batch(20, 21, ARCHIVED, 1),
      ],
    );
  });

  it('are put over each other in a time in proportion to their number, however they overlap', () => {
    let looks = 0;
    const count = 2_000;
    const nested = Array.from({ length: count }, (_, i) => ({
      ...{ firstOffset: BigInt(i), deliveryState: AVAILABLE, deliveryCount: i },
      get lastOffset() {
        looks++;
        return BigInt(2 * count - i);
      },
    }));
    assert.equal(combineBatches([], nested, 0n).length, 2 * count - 1);
    assert.ok(looks < 50 * count, `${looks} looks at ${count} batches`);
  });

  it('say of each offset what is furthest', () => {
    const random = new SeededRandom(3);
    const make = () =>
      Array.from({ length: random.integer(0, 6) }, () => {
        const first = random.integer(0, 40);
        const state = random.pick([AVAILABLE, ACKNOWLEDGED, ARCHIVED]);
        return batch(first, first + random.integer(0, 8), state, random.integer(1, 3));
      });
    for (let round = 0; round < 500; round++) {
      const [a, b] = [make(), make()];
      const start = BigInt(random.integer(0, 20));
      const combined = combineBatches(a, b, start);
      for (let offset = 0n; offset < 60n; offset++) {
        const holds = ({ firstOffset, lastOffset }: StateBatch) =>
          firstOffset <= offset && lastOffset >= offset;
        const candidates = offset < start ? [] : [...a, ...b].filter(holds);
        const best = candidates
          .map(({ deliveryCount, deliveryState }) => deliveryCount * 10 + deliveryState)
          .sort((x, y) => y - x)[0];
        const found = combined.filter(holds);
        assert.ok(found.length <= 1);
        const value = found[0] && found[0].deliveryCount * 10 + found[0].deliveryState;
        assert.equal(value, best, `offset ${offset} in round ${round}`);
      }
    }
  });
});
