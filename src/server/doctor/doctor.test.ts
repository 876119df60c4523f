import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KafabricConfig, loadConfig } from '../../config/index.ts';
import { checkDisks } from './disks.ts';
import { examine } from './doctor.ts';
import { checkFabric } from './fabric.ts';
import { binaryBytes, type Finding } from './finding.ts';
import { checkMachine, sharedBytes, softLimit, tmpfsBytes } from './machine.ts';
import { checkNetwork } from './network.ts';
import { checkTiers } from './tiers.ts';

describe('kafabric doctor', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'doctor-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function config(...overrides: string[]): KafabricConfig {
    const own = [`log.dirs=${directory}`, 'listeners=PLAINTEXT://127.0.0.1:0', 'arena.bytes=67108864'];
    const keys = new Set(overrides.map((one) => one.split('=')[0]));
    return loadConfig({
      environment: {},
      host: { isRoot: false, homeDirectory: '/nowhere' },
      overrides: [...own.filter((one) => !keys.has(one.split('=')[0])), ...overrides],
    });
  }

  const problems = (findings: readonly Finding[]) =>
    findings.filter(({ status }) => status === 'problem').map(({ text }) => text);

  it('finds nothing wrong with a small configuration, measures the disk, and leaves nothing behind', async () => {
    const findings = await examine(config('log.ack=disk'), true);
    assert.deepEqual(problems(findings), []);
    assert.ok(findings.some(({ text }) => /MB\/s in pieces of 1 MiB/.test(text)));
    assert.deepEqual(readdirSync(directory), []);
    assert.ok(findings.every(({ status, advice }) => status !== 'ok' || advice === null));
  });

  it('writes nothing when it may not', async () => {
    const findings = await checkDisks(config(), false);
    assert.ok(!findings.some(({ text }) => text.includes('MB/s')));
    assert.match(findings[0]!.text, /free$/);
  });

  it('looks at the disks of storage tiers and of a store, too', async () => {
    const at = (name: string) => join(directory, name);
    const findings = await checkDisks(
      config(
        `log.dirs=${at('logs')}`,
        'log.durability=os',
        'log.channel.type=tiered',
        'storage.tiers.types=MEMORY,SSD,HDD',
        'storage.tiers.first.paths=/dev/shm/kafabric-doctor',
        'storage.tiers.first.sizes=4096',
        `storage.tiers.second.paths=${at('fast')},${at('faster')}`,
        `storage.tiers.third.paths=${at('slow')}`,
        `payload.store.dir=${at('store')}`,
      ),
      false,
    );
    const names = ['logs', 'fast', 'faster', 'slow', 'store'];
    assert.deepEqual(
      findings.map(({ text }) => text.slice(0, text.indexOf(','))),
      names.map(at),
    );
    writeFileSync(at('store'), '');
    const [refused] = problems(await checkDisks(config(`payload.store.dir=${at('store/below')}`), true));
    assert.match(refused!, /is no directory/);
  });

  it('says where a data directory would be made, and what stands in its way', async () => {
    const [finding] = await checkDisks(config(`log.dirs=${join(directory, 'a/b')}`), false);
    assert.match(finding!.text, new RegExp(`a/b, which will be made in ${directory}:`));
    writeFileSync(join(directory, 'file'), '');
    const [refused] = await checkDisks(config(`log.dirs=${join(directory, 'file/data')}`), true);
    assert.equal(refused!.status, 'problem');
    assert.match(refused!.text, /is no directory/);
    assert.ok(refused!.advice);
  });

  it('tells what a tier in memory can hold, and where there is none', async () => {
    const memory = (...more: string[]) =>
      config(
        'log.durability=os',
        'log.channel.type=tiered',
        'storage.tiers.types=MEMORY,HDD',
        'storage.tiers.first.paths=/dev/shm/kafabric-doctor',
        'storage.tiers.first.sizes=4096',
        'storage.tiers.second.paths=/nowhere/tier',
        ...more,
      );
    const [found, ...none] = await checkTiers(memory());
    assert.equal(found!.status, 'note');
    assert.match(found!.advice!, /lost when the machine restarts/);
    assert.deepEqual(none, []);
    assert.match(
      problems(await checkTiers(memory('storage.tiers.first.sizes=1000000000000000'))).join(),
      /only room for/,
    );
    assert.match(
      problems(await checkTiers(memory('storage.tiers.first.paths=/proc/tier'))).join(),
      /on no tmpfs/,
    );
    assert.deepEqual(await checkTiers(config()), []);
  });

  it('tells which tiers a store cannot have', async () => {
    const tiers = (...more: string[]) =>
      config(
        `log.dirs=${join(directory, 'logs')}`,
        'log.channel.type=tiered',
        'storage.tiers.types=NVME,HDD',
        `storage.tiers.first.paths=${join(directory, 'fast')}`,
        `storage.tiers.second.paths=${join(directory, 'slow')}`,
        ...more,
      );
    const stored = (name: string) => `payload.store.dir=${join(directory, name)}`;
    assert.deepEqual(await checkTiers(tiers(stored('store'))), []);
    const within = problems(await checkTiers(tiers(stored('fast/store'))));
    assert.match(within.join(), /storage\.tiers\.first\.paths: .*\/fast and payload\.store\.dir=/);
    const bucket = tiers(
      stored('store'),
      'storage.tiers.types=NVME,S3',
      'storage.tiers.second.paths=',
      'storage.s3.bucket=payload',
      `storage.s3.cache.dir=${join(directory, 'cache')}`,
    );
    assert.match(problems(await checkTiers(bucket)).join(), /a payload store cannot have the tier S3/);
  });

  it('finds an arena that the machine cannot hold', async () => {
    const findings = problems(await checkMachine(config(`arena.bytes=${2 ** 50}`)));
    assert.equal(findings.length, 2);
    assert.match(findings[0]!, /^arena.bytes 1024\.0 TiB of /);
    assert.match(findings[1]!, /every answer would wait for the disk$/);
    const disk = await checkMachine(config(`arena.bytes=${2 ** 50}`, 'log.ack=disk'));
    assert.equal(problems(disk).length, 1);
  });

  it('counts what a gateway leaves of /dev/shm, without which answers would wait for the disk', async () => {
    const { bavail, bsize } = statfsSync('/dev/shm');
    const all = Math.floor((bavail * bsize) / 2 ** 20) * 2 ** 20;
    const found = (await checkMachine(config(`arena.bytes=${all}`))).find(({ text }) =>
      text.startsWith('/dev/shm has room for'),
    );
    assert.notEqual(found!.status, 'ok');
    for (const others of [0, 2 ** 30]) {
      const size = tmpfsBytes(2 ** 33, others);
      assert.ok(size - others >= sharedBytes(2 ** 33, size));
      assert.ok(size - 64 - others < sharedBytes(2 ** 33, size - 64));
    }
  });

  it('tells a port in use from an address that is not here', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const [used] = await checkNetwork(config(`listeners=PLAINTEXT://127.0.0.1:${port}`));
    assert.equal(used!.status, 'note');
    const metrics = await checkNetwork(config(`metrics.listener=http://127.0.0.1:${port}`));
    assert.deepEqual(
      metrics
        .filter(({ text }) => text.endsWith(`http://127.0.0.1:${port} is in use`))
        .map(({ status }) => status),
      ['note'],
    );
    assert.deepEqual(problems(await checkNetwork(config('metrics.listener=http://192.0.2.1:9464'))), [
      'metrics.listener http://192.0.2.1:9464 cannot be opened (EADDRNOTAVAIL)',
    ]);
    server.close();
    const [elsewhere] = await checkNetwork(config('listeners=PLAINTEXT://192.0.2.1:9092'));
    assert.equal(elsewhere!.status, 'problem');
    assert.match(elsewhere!.text, /EADDRNOTAVAIL/);
  });

  it('finds a name that clients could not find', async () => {
    const findings = await checkNetwork(config('advertised.listeners=PLAINTEXT://no-such-host.invalid:9092'));
    assert.match(problems(findings)[0]!, /no-such-host\.invalid/);
  });

  it('says what would carry payload, and what of the fabric is not there', async () => {
    const plain = await checkFabric(config('fabric.provider=plain-tcp'));
    assert.deepEqual(problems(plain), []);
    assert.equal(plain.at(-1)!.text, 'payload would go over plain-tcp');
    const missing = await checkFabric(config('fabric.library=/nowhere/libfabric.so.1'));
    assert.match(problems(missing)[0]!, /tried \/nowhere\/libfabric\.so\.1 \(cannot open shared object file/);
    const absent = await checkFabric(config('fabric.provider=cxi', 'fabric.domain=cxi99'));
    assert.match(problems(absent)[0]!, /^fabric\.provider=cxi with fabric\.domain=cxi99 is not available/);
  });

  it('reads limits and writes sizes', () => {
    const limits =
      'Limit  Soft\nMax open files            1024                 4096   files\nMax locked memory         unlimited\n';
    assert.equal(softLimit(limits, 'Max open files'), 1024);
    assert.equal(softLimit(limits, 'Max locked memory'), Number.POSITIVE_INFINITY);
    assert.equal(softLimit('', 'Max open files'), Number.POSITIVE_INFINITY);
    assert.deepEqual([0, 1023, 1024, 1.5 * 2 ** 30].map(binaryBytes), [
      '0 bytes',
      '1023 bytes',
      '1.0 KiB',
      '1.5 GiB',
    ]);
  });
});
