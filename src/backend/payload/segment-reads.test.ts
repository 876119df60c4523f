import assert from 'node:assert/strict';
import type { RangeRead, ReadRange } from '../../native/listed-pieces.ts';
import { OpenFiles } from './open-files.ts';
import type { PayloadFile } from './ports.ts';
import { SegmentExtents } from './segment-extents.ts';
import { SegmentReads } from './segment-reads.ts';

const RANGES: ReadRange[] = [0, 8].map((position) => ({ position, length: 1, seed: null, expected: null }));

type Path = 'a' | 'b';

describe('Reads of a segment', () => {
  let place: Path;
  let reads: SegmentReads;
  /** By path: what is read there; throws what nothing is read for. */
  let files: Map<Path, () => (RangeRead | Error)[]>;

  beforeEach(() => {
    place = 'a';
    files = new Map();
    const open = new OpenFiles(
      {
        open: async (path) => {
          const readRanges = async () => files.get(path as Path)!();
          return { readRanges, close: async () => undefined } as unknown as PayloadFile;
        },
        remove: async () => undefined,
        punch: async () => ({ held: 0, replaced: false }),
      },
      4,
    );
    reads = new SegmentReads(open, SegmentExtents.known('list', open.lists, []));
  });

  const found = (crc32c: number) => ({ crc32c }) as RangeRead;
  const gone = new Error('there is no such file');
  const read = async () =>
    (await reads.read(() => place, RANGES)).map((each) => (each instanceof Error ? each : each.crc32c));

  it('go on where it was moved to meanwhile', async () => {
    files.set('a', () => {
      place = 'b';
      throw gone;
    });
    files.set('b', () => [found(1), found(2)]);
    assert.deepEqual(await read(), [1, 2]);
  });

  it('repeat only what failed when it was moved', async () => {
    files.set('a', () => {
      place = 'b';
      return [found(1), gone];
    });
    files.set('b', () => [found(2)]);
    assert.deepEqual(await read(), [1, 2]);
  });

  it('fail where it stays', async () => {
    files.set('a', () => [gone, found(2)]);
    assert.deepEqual(await read(), [gone, 2]);
    files.set('a', () => {
      throw gone;
    });
    assert.deepEqual(await read(), [gone, gone]);
  });
});
