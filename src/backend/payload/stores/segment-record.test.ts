import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { namesIn } from '../small-files.ts';
import { readRecords, recordPath, writeRecord } from './segment-record.ts';

describe('Records of where segments are', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'records-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('are read as they were written', async () => {
    const record = {
      incarnation: '0123456789abcdef',
      copies: [
        { store: 'a', doubtful: false, incarnation: '0123456789abcdef' },
        { store: 'b', doubtful: true, incarnation: 'fedcba9876543210' },
      ],
    };
    await writeRecord(recordPath(directory, 7), record);
    writeFileSync(join(directory, 'another file'), '');
    const records = await readRecords(directory, await namesIn(directory));
    assert.deepEqual([...records.keys()], [7]);
    const { incarnation, copies } = records.get(7)!;
    assert.deepEqual({ incarnation, copies }, record);
  });

  it('are not taken for none when they cannot be read', async () => {
    assert.deepEqual(await namesIn(join(directory, 'not there')), []);
    const file = join(directory, 'no directory');
    writeFileSync(file, '');
    await assert.rejects(namesIn(file), { code: 'ENOTDIR' });
    writeFileSync(recordPath(directory, 1), '{"version":1}');
    await assert.rejects(
      readRecords(directory, await namesIn(directory)),
      /does not say which stores have the segment/,
    );
  });
});
