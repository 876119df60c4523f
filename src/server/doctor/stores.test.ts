import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Measured } from '../../backend/payload/stores/messages.ts';
import { StoreDirectory } from '../../backend/payload/stores/process/store-directory.ts';
import type { StoreServer } from '../../backend/payload/stores/process/store-server.ts';
import { testTiers } from '../../backend/payload/stores/process/testing.ts';
import { SECRET, startServer } from '../../backend/payload/stores/testing.ts';
import { type KafabricConfig, loadConfig } from '../../config/index.ts';
import { arenaStats } from '../../native/arena.ts';
import { Store } from '../../native/store.ts';
import type { Finding } from './finding.ts';
import { judge, linkOf, type MeasuredWay } from './store-speed.ts';
import { checkStores } from './stores.ts';

describe('kafabric doctor at stores', () => {
  const root = mkdtempSync(join(tmpdir(), 'doctor-stores-'));
  let native: Store;
  let directory: StoreDirectory;
  let server: StoreServer;

  before(async () => {
    native = new Store({ threads: 1 });
    const at = join(root, 'store');
    const openTiers = testTiers(at, native, [
      { type: 'NVME', path: join(root, 'fast'), sizeBytes: -1 },
      { type: 'HDD', path: join(root, 'slow'), sizeBytes: -1 },
    ]);
    directory = await StoreDirectory.open(at, native, async () => undefined, { openTiers });
    server = await startServer(directory, { zone: 'z' });
  });
  after(async () => {
    await server.stop();
    await directory.close();
    await native.shutdown();
    rmSync(root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  function config(...overrides: string[]): KafabricConfig {
    return loadConfig({
      environment: {},
      host: { isRoot: false, homeDirectory: '/nowhere' },
      overrides: [`log.dirs=${root}`, `payload.stores.secret=${SECRET}`, ...overrides],
    });
  }
  const address = () => `127.0.0.1:${server.port}`;
  const aboutStores = (findings: readonly Finding[]) =>
    findings.filter(({ text }) => text.startsWith('store '));
  const measuredIn = (findings: readonly Finding[]): Record<string, unknown>[] =>
    findings.flatMap(({ values }) => (values === undefined ? [] : [{ ...values }]));

  it('times the ways that both ends take, beside what those are capable of, and leaves nothing behind', async () => {
    const looked: string[] = [];
    const findings = await checkStores(config(`payload.stores=${address()}`), true, (what) =>
      looked.push(what),
    );
    const [first] = aboutStores(findings);
    assert.equal(first!.status, 'ok');
    assert.match(first!.text, /zone z\): plain-tcp, .* MB\/s to its disk, .* free$/);
    const [over, ...others] = measuredIn(findings);
    assert.deepEqual(others, []);
    assert.deepEqual([over!.store, over!.provider, over!.isUsed], [address(), 'plain-tcp', true]);
    for (const speed of [over!.taken, over!.given] as Measured[])
      for (const value of Object.values(speed)) assert.ok(value > 0);
    assert.equal(looked[0], `store ${address()} over plain-tcp`);
    const left = readdirSync(root, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      left.filter((name) => /\.(open|payload|marks)$/.test(name)),
      [],
    );
  });

  it('moves nothing when it may not', async () => {
    const findings = await checkStores(config(`payload.stores=${address()}`), false);
    assert.deepEqual(measuredIn(findings), []);
    assert.deepEqual(
      aboutStores(findings).map(({ status }) => status),
      ['ok'],
    );
  });

  it('counts the stores that are there, and says what to do about those that are not', async () => {
    const findings = await checkStores(
      config(`payload.stores=${address()},127.0.0.1:1`, 'payload.replicas=2'),
      false,
    );
    const problems = findings.filter(({ status }) => status === 'problem');
    assert.match(problems[0]!.text, /^store 127\.0\.0\.1:1: .*ECONNREFUSED/);
    assert.match(problems[1]!.text, /^1 stores are there, 2 must have/);
    assert.ok(problems.every(({ advice }) => advice !== null));
  });

  it('says which directories of a store are out of use', async () => {
    directory.tiers.paths[1]!.takeOut(new Error('no luck'));
    const findings = await checkStores(config(`payload.stores=${address()}`), false);
    assert.deepEqual(
      aboutStores(findings).map(({ status }) => status),
      ['ok', 'problem'],
    );
    assert.match(aboutStores(findings)[1]!.text, /slow is out of use: no luck$/);
  });

  describe('judges', () => {
    const way: MeasuredWay = {
      store: 's:1',
      provider: 'tcp',
      domain: 'eth0',
      isUsed: false,
      bitsPerSecond: 0,
    };
    const speed = (bytesPerSecond: number): Measured => ({
      bytesPerSecond,
      limitBytesPerSecond: 2e9,
      medianMs: 0.1,
      limitMedianMs: 0.05,
    });
    const judged = (taken: number, given: number, bitsPerSecond = 0) =>
      judge({ ...way, bitsPerSecond }, { taken: speed(taken), given: speed(given) });

    it('what moves by what could move', () => {
      const [good, ...rest] = judged(1.8e9, 1e9);
      assert.deepEqual(rest, []);
      assert.equal(good!.status, 'ok');
      assert.equal(
        good!.text,
        'store s:1 over tcp on eth0, which is not used: takes 1.80 GB/s of 2.00 (90 %), gives 1.00 GB/s of 2.00 (50 %); 4 KiB, median: 0.100 ms of 0.050 taken, 0.100 ms of 0.050 given; each beside the bare provider',
      );
      for (const [taken, given] of [
        [0.99e9, 2e9],
        [2e9, 0.99e9],
      ] as const) {
        const [slow] = judged(taken, given);
        assert.equal(slow!.status, 'problem');
        assert.match(slow!.advice!, /processors at both ends/);
      }
    });

    it('what could move by what the link has', () => {
      const [, link] = judged(1.9e9, 1.9e9, 100e9);
      assert.equal(link!.status, 'note');
      assert.match(link!.text, /moves 2\.00 GB\/s of the 12\.50 GB\/s of the link/);
      assert.equal(judged(1.9e9, 1.9e9, 25e9).length, 1);
    });

    it('links by provider and domain', () => {
      const one = { network: '', device: '', memoryModes: '', against: '' };
      const providers = [{ ...one, provider: 'tcp', domain: 'eth0', bitsPerSecond: 7 }];
      assert.equal(linkOf(providers, { provider: 'tcp', domain: 'eth0' }), 7);
      assert.equal(linkOf(providers, { provider: 'tcp', domain: 'lo' }), 0);
    });
  });
});
