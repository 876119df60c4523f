import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Codec, compressAsync } from './codec.ts';
import { Store } from './store.ts';

const DIRECTORIES = 500;
const FILES = 40;

describe('What is removed', () => {
  let directory: string;
  let store: Store;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'removal-'));
    store = new Store({ threads: 1 });
  });
  after(async () => {
    await store.shutdown();
    rmSync(directory, { recursive: true });
  });

  it('holds up nothing that clients wait for, however much it is', async () => {
    const paths = Array.from({ length: DIRECTORIES }, (_, i) => join(directory, `t-${i}`));
    for (const path of paths) {
      mkdirSync(path);
      for (let file = 0; file < FILES; file++) writeFileSync(join(path, String(file)), '');
    }
    let removed = 0;
    const removals = paths.map((path) =>
      store.remove(path).then(() => {
        removed++;
      }),
    );
    await compressAsync(Codec.ZSTD, Buffer.alloc(1000));
    await setImmediate();
    assert.ok(removed < DIRECTORIES / 2, `${removed} were removed before`);
    await Promise.all(removals);
    assert.deepEqual(readdirSync(directory), []);
  });
});
