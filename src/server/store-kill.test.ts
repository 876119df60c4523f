import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { StoreConnection } from '../backend/payload/stores/store-connection.ts';
import { splitAddress } from '../backend/payload/stores/store-peer.ts';
import { storedName } from '../backend/payload/stores/stored-name.ts';
import { connectionTo, PLAIN } from '../backend/payload/stores/testing.ts';
import { arenaStats, NativeMemory } from '../native/arena.ts';
import { crc32c } from '../native/batch.ts';
import { filesBelow } from '../util/testing/files-below.ts';
import { SeededRandom } from '../util/testing/seeded-random.ts';
import { spawnStore } from './store-process.fixture.ts';

const rounds = Number(process.env.KAFABRIC_STORE_KILLS ?? 4);
const PARTITION = 't-0.AAAAAAAAAAAAAAAAAAAABQ';
const PATTERN_BYTES = 4 << 20;
const TIMEOUT_MS = 60_000;

const filesIn = (directory: string) =>
  filesBelow(directory)
    .map((path) => basename(path))
    .filter((name) => /\.(payload|open)$/.test(name));

/** What was asked of one file, and what was acknowledged of it. */
class Expected {
  readonly file: string;
  /** By where each append ends: the CRC-32C of everything up to there. */
  readonly crcs = new Map<number, number>([[0, 0]]);
  end = 0;
  acknowledged = 0;
  sealed = false;

  constructor(segment: number) {
    this.file = storedName({ partition: PARTITION, segment, incarnation: '0123456789abcdef' });
  }
}

/** A first tier that two files fill: the others move on while the store is killed. */
const tiersIn = (root: string) => ({
  'log.channel.type': 'tiered',
  'storage.tiers.types': 'NVME,HDD',
  'storage.tiers.first.paths': join(root, 'fast'),
  'storage.tiers.first.sizes': '8388608',
  'storage.tiers.second.paths': join(root, 'slow'),
  'storage.migrate.bytes.per.second': '-1',
});
const kinds: { readonly what: string; readonly settings: (root: string) => Record<string, string> }[] = [
  { what: 'A store process', settings: () => ({}) },
  { what: 'A store process with tiers', settings: tiersIn },
];

for (const { what, settings: settingsIn } of kinds)
  describe(`${what} that is killed again and again`, function () {
    this.timeout(300_000 + rounds * 120_000);
    const root = mkdtempSync(join(tmpdir(), 'store-kill-'));
    const address = join(root, 'address');
    const random = new SeededRandom(31);
    const files: Expected[] = [];
    let pattern: NativeMemory;
    let child: ChildProcess;
    let ended: Promise<unknown>;
    let output = '';

    before(() => {
      pattern = NativeMemory.allocate(PATTERN_BYTES)!;
      const bytes = pattern.bytes();
      for (let i = 0; i < bytes.length; i++) bytes[i] = random.integer(0, 255);
    });

    after(async () => {
      child?.kill('SIGKILL');
      await ended;
      pattern.release();
      rmSync(root, { recursive: true });
      assert.equal(arenaStats().usedBytes, 0);
    });

    async function start(): Promise<StoreConnection> {
      const settings = {
        'payload.store.address.file': address,
        'payload.store.heartbeat.ms': '60000',
        'fabric.provider': PLAIN.provider,
        ...settingsIn(root),
      };
      rmSync(address, { force: true });
      output = '';
      const started = spawnStore(join(root, 'store'), settings, 'pipe');
      child = started;
      ended = new Promise((resolve) => started.on('close', resolve));
      for (const stream of [started.stdout, started.stderr])
        stream!.on('data', (text) => {
          output += text;
        });
      while (!existsSync(address)) {
        if (started.exitCode !== null || started.signalCode !== null) assert.fail(`it ended: ${output}`);
        await setTimeout(20);
      }
      const { port } = splitAddress(readFileSync(address, 'utf8').trim());
      return StoreConnection.open(connectionTo(port));
    }

    /** Appends to a file, several at a time, and flushes and completes it now and then, until the store is gone. */
    async function write(store: StoreConnection, segment: number, acknowledged: () => void): Promise<void> {
      const expected = new Expected(segment);
      files.push(expected);
      const { file } = expected;
      await store.request({ op: 'create', file });
      const under: Promise<void>[] = [];
      const count = random.integer(5, 40);
      for (let i = 0; i < count; i++) {
        const length = random.integer(1, 300_000);
        const offset = random.integer(0, PATTERN_BYTES - length);
        const position = expected.end;
        expected.end += length;
        const { end } = expected;
        const piece = pattern.bytes().subarray(offset, offset + length);
        expected.crcs.set(end, crc32c(piece, expected.crcs.get(position)!));
        const done = store.request({
          op: 'append',
          file,
          position,
          length,
          source: pattern.arenaOffset + offset,
          key: store.key,
          fromMemory: random.integer(0, 1) === 0,
          timeoutMs: TIMEOUT_MS,
        });
        under.push(
          done.then(() => {
            expected.acknowledged = Math.max(expected.acknowledged, end);
            acknowledged();
          }),
        );
        if (i % 4 === 0) under.push(store.request({ op: 'sync', file }).then(() => undefined));
        if (i % 5 === 4) await Promise.all(under.splice(0));
      }
      await Promise.all(under);
      await store.request({ op: 'seal', file, bytes: expected.end, trust: false });
      expected.sealed = true;
    }

    /** Writes until the store is killed, which is when so many appends were acknowledged. */
    async function writeUntilKilled(store: StoreConnection, kills: number): Promise<void> {
      let left = kills;
      const acknowledged = () => {
        if (--left === 0) child.kill('SIGKILL');
      };
      const writers = [0, 1, 2].map(async () => {
        try {
          for (;;) await write(store, files.length + 1, acknowledged);
        } catch (error) {
          if (left > 0) throw error;
        }
      });
      await Promise.all(writers);
      await ended;
      store.end('it was killed');
      await store.closed;
    }

    /** All that was acknowledged is there, as it was; what was not may be. */
    async function verify(store: StoreConnection): Promise<void> {
      const listed = new Map<string, { bytes: number; sealed: boolean }>();
      for (let after = ''; ; ) {
        const page = await store.request({ op: 'list', after });
        for (const { file, bytes, sealed } of page.files) listed.set(file, { bytes, sealed });
        if (!page.more) break;
        after = page.files.at(-1)!.file;
      }
      for (const expected of files) {
        const { file, acknowledged, crcs } = expected;
        const found = listed.get(file);
        if (found === undefined) {
          assert.equal(acknowledged, 0, `${file} is gone`);
          continue;
        }
        assert.ok(found.bytes >= acknowledged, `${file} has ${found.bytes} of ${acknowledged}`);
        if (expected.sealed) assert.deepEqual(found, { bytes: expected.end, sealed: true });
        assert.ok(crcs.has(found.bytes), `${file} ends in the middle of an append, at ${found.bytes}`);
        const whole = { op: 'check', file, position: 0, seed: 0 } as const;
        const check = await store.request({ ...whole, length: found.bytes + 1 });
        assert.deepEqual(check, { crc: crcs.get(found.bytes), length: found.bytes }, file);
        const bytes = found.sealed ? found.bytes : acknowledged;
        await store.request({ op: 'seal', file, bytes, trust: false });
        const cut = await store.request({ ...whole, length: found.bytes + 1 });
        assert.deepEqual(cut, { crc: crcs.get(bytes), length: bytes }, file);
        expected.end = bytes;
        expected.acknowledged = bytes;
        expected.sealed = true;
      }
    }

    it(`has everything that it acknowledged after each of ${rounds} kills`, async () => {
      for (let round = 0; round < rounds; round++) {
        const store = await start();
        await verify(store);
        await writeUntilKilled(store, random.integer(5, 120));
      }
      const store = await start();
      await verify(store);
      assert.ok(files.length >= 3 * rounds);
      const places = ['store', 'fast', 'slow'].filter((place) => existsSync(join(root, place)));
      if (places.length > 1) while (filesIn(join(root, 'slow')).length === 0) await setTimeout(20);
      store.end('the test has ended');
      await store.closed;
      child.kill('SIGTERM');
      await ended;
      assert.equal(child.exitCode, 0, output);
      // Now that nothing moves.
      const names = places.flatMap((place) => filesIn(join(root, place)));
      assert.equal(new Set(names).size, names.length, 'a file is there twice');
      assert.equal(filesIn(join(root, 'store')).length > 0, places.length === 1);
    });
  });
