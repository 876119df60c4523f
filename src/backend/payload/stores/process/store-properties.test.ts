import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { TestDirectory } from './testing.ts';

describe('The properties of a store', () => {
  it('are written once: a start on a disk that has no room serves what is there', async () => {
    const test = new TestDirectory();
    const { id } = await test.open();
    await test.close();
    assert.ok(existsSync(join(test.path, 'store.properties')));
    // Nothing can be written there for a moment.
    mkdirSync(join(test.path, 'store.properties.tmp'));
    assert.equal((await test.open()).id, id);
    await assert.rejects(test.directory.setDraining(true), { code: 'EISDIR' });
    await test.end();
  });
});
