import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompactionFixture } from './compaction.fixture.ts';

describe('a swap of compacted segments that was interrupted', () => {
  let fixture: CompactionFixture;
  const names = ['.log', '.index', '.timeindex', '.txnindex'];
  let expected: string[];
  let before: Map<string, Buffer>;
  let after: Map<string, Buffer>;

  const snapshot = () =>
    new Map(
      readdirSync(fixture.path)
        .filter((name) => /^\d{20}\.(log|index|timeindex|txnindex)$/.test(name))
        .map((name) => [name, readFileSync(join(fixture.path, name))]),
    );

  const read = () => fixture.texts();
  const files = (suffix: string) => fixture.files(suffix);

  beforeEach(async () => {
    fixture = new CompactionFixture();
    await fixture.open();
    for (let i = 0; i < 30; i++) await fixture.write([{ key: `k${i % 4}`, value: 'x'.repeat(300) }]);
    await fixture.roll();
    await fixture.log.prepareCheckpoint();
    before = snapshot();
    // A group that holds all that was written.
    fixture.configure({ segmentBytes: 1 << 20 });
    await fixture.compact();
    expected = await read();
    assert.equal(expected.length, 4);
    await fixture.manager.close();
    after = snapshot();
  });

  afterEach(() => fixture.end());

  const put = (name: string, bytes: Buffer) => writeFileSync(join(fixture.path, name), bytes);
  const first = '0'.repeat(20);

  it('is finished by the next start, wherever that was', async () => {
    const old = [...before.keys()].filter((name) => !after.has(name));
    assert.ok(old.length > 2);
    // Renamed to .swap: none, the log, ... all; then the old ones set aside one by one; then the new ones renamed.
    for (let step = 1; step <= 4 + old.length + 4; step++) {
      for (const name of old) put(name, before.get(name)!);
      for (const suffix of names) {
        const name = `${first}${suffix}`;
        if (!after.has(name)) continue;
        const index = names.indexOf(suffix);
        const isSwap = index < step;
        const isFinal = step > 4 + old.length + index;
        put(`${name}${isFinal ? '' : isSwap ? '.swap' : '.cleaned'}`, after.get(name)!);
        if (!isFinal && step <= 4 && before.has(name)) put(name, before.get(name)!);
      }
      for (let gone = 0; gone < Math.min(step - 4, old.length); gone++) {
        const path = join(fixture.path, old[gone]!);
        renameSync(path, `${path}.1.deleted`);
      }
      await fixture.open();
      assert.deepEqual(await read(), expected, `step ${step}`);
      assert.deepEqual([files('.swap'), files('.cleaned'), files('.deleted')], [[], [], []]);
      assert.deepEqual([...snapshot().keys()].sort(), [...after.keys()].sort(), `step ${step}`);
      await fixture.manager.close();
    }
    await fixture.open();
  });

  it('does not count before the log file has its name', async () => {
    for (const [name, bytes] of before) put(name, bytes);
    for (const suffix of names)
      if (after.has(`${first}${suffix}`)) put(`${first}${suffix}.cleaned`, after.get(`${first}${suffix}`)!);
    await fixture.open();
    assert.equal((await read()).length, 30);
    assert.deepEqual(files('.cleaned'), []);
  });
});
