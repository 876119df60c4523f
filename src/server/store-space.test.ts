import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Store } from '../native/store.ts';
import { spawnStore } from './store-process.fixture.ts';

const FILE_BYTES = 16 << 20;

/** Space is written ahead only where the page cache can be bypassed. */
async function bypassesPageCache(directory: string): Promise<boolean> {
  const path = join(directory, 'probe');
  writeFileSync(path, '');
  const store = new Store({ threads: 1 });
  const file = await store.open(path, { readOnly: true });
  const { direct } = file;
  await file.close();
  await store.shutdown();
  return direct;
}

const root = mkdtempSync(join(tmpdir(), 'store-space-'));

if (await bypassesPageCache(root))
  describe('A store process', () => {
    let child: ChildProcess;

    after(() => {
      child.kill('SIGKILL');
      rmSync(root, { recursive: true });
    });

    it('writes space ahead for its first segments', async () => {
      const directory = join(root, 'store');
      mkdirSync(directory);
      const settings = {
        'payload.segment.bytes': String(FILE_BYTES),
        'log.recycle.prepare.bytes': String(2 * FILE_BYTES),
      };
      child = spawnStore(directory, settings, 'inherit');
      const kept = () => readdirSync(directory).filter((name) => name.endsWith('.free'));
      while (kept().length < 2) {
        assert.equal(child.exitCode, null, 'it ended');
        await setTimeout(20);
      }
      for (const name of kept()) {
        const { size, blocks } = statSync(join(directory, name));
        assert.deepEqual([size, blocks * 512 >= FILE_BYTES], [FILE_BYTES, true], name);
      }
    });
  });
else rmSync(root, { recursive: true });
