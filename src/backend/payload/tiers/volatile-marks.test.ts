import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VolatileMarks } from './volatile-marks.ts';

describe('Notes of segments in memory', () => {
  let directory: string;
  let marks: VolatileMarks;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'marks-'));
    marks = new VolatileMarks(directory);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('stay for as long as one of the segment’s files is there', async () => {
    await marks.add(7);
    assert.deepEqual(readdirSync(directory), ['00000000000000000007.memory']);
    await marks.add(7); // where it is moved
    marks.remove(7);
    await marks.clear([7]);
    assert.deepEqual(marks.find(readdirSync(directory)), [7]);
    marks.remove(7);
    await marks.clear([]); // behind what was begun
    assert.deepEqual(marks.find(readdirSync(directory)), []);
  });

  it('are there when a file comes again right after another is gone', async () => {
    await marks.add(1);
    marks.remove(1);
    await marks.add(1);
    await marks.clear([1]);
    assert.deepEqual(marks.find(readdirSync(directory)), [1]);
  });

  it('are found after a restart, beside other files', async () => {
    await marks.add(3);
    for (const name of ['3.memory', '00000000000000000003.extents', 'x.memory.tmp'])
      writeFileSync(join(directory, name), '');
    const next = new VolatileMarks(directory);
    assert.deepEqual(next.find(readdirSync(directory)), [3]);
    next.adopt(3);
    await next.clear([3]);
    assert.deepEqual(next.find(readdirSync(directory)), [3]);
    next.remove(3);
    await next.clear([]);
    assert.deepEqual(next.find(readdirSync(directory)), []);
  });
});
