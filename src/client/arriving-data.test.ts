import assert from 'node:assert/strict';
import { crc32c } from '../native/batch.ts';
import { ArrivingData } from './arriving-data.ts';
import type { Awaiting } from './get-line.ts';
import type { Getter } from './getter.ts';
import type { Referenced } from './references.ts';

describe('data that comes with what is fetched', () => {
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 37 + (i >> 8)) & 0xff);
  /** Values that were asked for, by their size. */
  let got: number[];
  let arriving: ArrivingData;

  beforeEach(() => {
    got = [];
    const getter = {
      fill: (value: Referenced, _ranges: unknown, target: Uint8Array, awaiting: Awaiting) => {
        got.push(value.size);
        target.fill(1);
        awaiting.arrived(0);
      },
    } as unknown as Getter;
    arriving = new ArrivingData(getter);
  });

  interface Taken {
    readonly isTaken: boolean;
    readonly target: Uint8Array;
    told: number;
  }

  /** Wants a value that begins at `at` of the extent, which itself begins at `start` of what follows the answer. */
  function take(
    extent: ReturnType<ArrivingData['add']>,
    { start = 0, at, size, selected = size }: { start?: number; at: number; size: number; selected?: number },
  ): Taken {
    const crc = crc32c(bytes.subarray(start + at, start + at + size));
    const target = new Uint8Array(selected);
    const taken = { target, told: 0 };
    const awaiting = { arrived: () => taken.told++, failed: assert.fail } as unknown as Awaiting;
    const ranges = [{ offset: 0, length: selected, count: 1, stride: selected }];
    const isTaken = extent.take({ size, crc } as Referenced, at, ranges, target, awaiting);
    return Object.assign(taken, { isTaken });
  }

  /** As a connection receives it. */
  function receive(): number {
    let at = 0;
    for (const target of arriving.targets) {
      target.set(bytes.subarray(at, at + target.byteLength));
      at += target.byteLength;
    }
    return at;
  }

  it('lands where it is wanted, the rest nowhere', () => {
    const first = arriving.add(100_000);
    const second = arriving.add(200_000);
    const values = [
      take(first, { at: 10, size: 20 }),
      take(first, { at: 90_000, size: 10_000 }),
      take(second, { start: 100_000, at: 0, size: 5 }),
      take(second, { start: 100_000, at: 150_000, size: 40_000 }),
    ];
    assert.equal(receive(), 300_000);
    assert.ok(values.every(({ told }) => told === 0));
    arriving.arrived();
    assert.ok(values.every(({ told, isTaken }) => isTaken && told === 1));
    assert.deepEqual(values[0]!.target, bytes.subarray(10, 30));
    assert.deepEqual(values[1]!.target, bytes.subarray(90_000, 100_000));
    assert.deepEqual(values[2]!.target, bytes.subarray(100_000, 100_005));
    assert.deepEqual(values[3]!.target, bytes.subarray(250_000, 290_000));
    assert.deepEqual(got, []);
  });

  it('is not for parts of a value, for what has its place, or for what lies outside', () => {
    const extent = arriving.add(1000);
    assert.equal(take(extent, { at: 100, size: 50, selected: 49 }).isTaken, false);
    assert.equal(take(extent, { at: 100, size: 50 }).isTaken, true);
    assert.equal(take(extent, { at: 149, size: 1 }).isTaken, false);
    assert.equal(take(extent, { at: 900, size: 101 }).isTaken, false);
    assert.equal(receive(), 1000);
  });

  it('is got when it was damaged on its way, or did not come', () => {
    const extent = arriving.add(1000);
    const damaged = take(extent, { at: 0, size: 10 });
    const whole = take(extent, { at: 10, size: 20 });
    receive();
    damaged.target[3]! ^= 1;
    arriving.arrived();
    assert.deepEqual(got, [10]);
    assert.deepEqual([damaged.told, whole.told], [1, 1]);
    const lost = take(arriving.add(1000), { at: 0, size: 30 });
    arriving.lost();
    assert.deepEqual(got, [10, 30]);
    assert.equal(lost.told, 1);
    arriving.lost();
    assert.equal(lost.told, 1, 'once');
  });
});
