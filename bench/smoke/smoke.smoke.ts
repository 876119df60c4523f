// One tiny workload against the gateway alone, and the clients of two "hosts" over an ssh server of our own: the harness runs end to end.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/util/free-port.ts';
import { mergeReports } from '../clients/merge.ts';
import { parsePlan, type RawClientOptions } from '../clients/plan.ts';
import { runClients } from '../clients/run.ts';
import { generatorMissing } from '../generators/build.ts';
import { tracer } from '../measure/syscalls.ts';
import { parseOptions } from '../options.ts';
import { htmlReport } from '../report/html.ts';
import { markdownReport } from '../report/markdown.ts';
import { runBenchmark } from '../runner.ts';
import { variants } from '../systems/deployments.ts';
import { Kafabric } from '../systems/kafabric.ts';
import { accepts } from '../systems/wire.ts';
import { workloads } from '../workloads/index.ts';

const sshd = '/usr/sbin/sshd';

function skipWithout(context: Mocha.Context, reason: string | null): void {
  if (reason === null) return;
  console.log(`      skipped: ${reason}`);
  context.skip();
}

interface SshServer {
  command: string;
  child: ChildProcess;
}

/** An ssh server on the loopback interface with keys of its own. */
async function startSshd(folder: string): Promise<SshServer> {
  const port = await freePort();
  for (const name of ['host', 'user'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
  const settings = [
    'Port',
    port,
    '\nListenAddress 127.0.0.1\nHostKey',
    join(folder, 'host'),
    '\nAuthorizedKeysFile',
  ];
  const rest = [
    join(folder, 'user.pub'),
    '\nStrictModes no\nPidFile none\nUsePAM no\nPasswordAuthentication no\n',
  ];
  writeFileSync(join(folder, 'config'), [...settings, ...rest].join(' '));
  // Where it puts its unprivileged part; a package's start script would make it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const child = spawn(sshd, ['-D', '-e', '-f', join(folder, 'config')], { stdio: 'ignore' });
  while (child.exitCode === null && !(await accepts(`127.0.0.1:${port}`))) await sleep(50);
  const identity = ['-i', join(folder, 'user'), '-o IdentitiesOnly=yes -l', userInfo().username];
  const trust = [
    '-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -F /dev/null',
  ];
  return { child, command: ['ssh', '-p', port, ...identity, ...trust].join(' ') };
}

describe('the benchmark', () => {
  let folder: string;

  before(function () {
    skipWithout(this, generatorMissing());
    folder = mkdtempSync(join(tmpdir(), 'kafabric-bench-'));
    chmodSync(folder, 0o700);
  });

  after(() => {
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it('measures the gateway and reports it', async () => {
    const raw = {
      systems: 'kafabric',
      workloads: 'produce,mixed,latency',
      sizes: '1KB',
      seconds: '0.1',
      bytes: '5MB',
      syscalls: true,
    };
    const names = { systems: Object.keys(variants), workloads: workloads.map(({ name }) => name) };
    const options = parseOptions({ ...raw, quick: true }, names, { dataFolder: folder });
    const results = await runBenchmark(options, '--quick');
    assert.deepEqual(results.omissions, []);
    const measured = results.measurements.find(({ workload }) => workload === 'produce')!;
    for (const metric of ['mbPerS', 'recordsPerS', 'rssMb', 'writtenPerByte', 'clientCpuPerGb'])
      assert.ok(measured.metrics[metric]! > 0, `${metric} is ${measured.metrics[metric]}`);
    assert.ok(measured.metrics.cpuPerGb! >= 0);
    const latency = results.measurements.find(({ workload }) => workload === 'latency')!;
    assert.ok(latency.metrics.p50Ms! > 0 && latency.metrics.p50Ms! <= latency.metrics.maxMs!);
    if (tracer() !== null)
      for (const { workload, metrics } of results.measurements)
        assert.ok(metrics.syscallsPerRequest! > 0, `no system calls counted in ${workload}`);
    assert.match(markdownReport(results), /### produce[\s\S]*\| 1 KB \| kafabric \|/);
    assert.match(htmlReport(results), /<canvas id="chart-0">/);
  });

  it('measures a system that is running already', async () => {
    const system = new Kafabric(folder, 'kafabric', variants.kafabric!, {});
    try {
      await system.start('os');
      const target = { target: [system.bootstrap], name: ['mine'], pid: [String(system.pid)] };
      const raw = { systems: '', workloads: 'startup,latency', sizes: '1KB', seconds: '0.1', bytes: '5MB' };
      const names = { systems: Object.keys(variants), workloads: workloads.map(({ name }) => name) };
      const options = parseOptions({ ...raw, ...target, quick: true }, names, { dataFolder: folder });
      const results = await runBenchmark(options, '--target');
      // It is neither started nor stopped.
      assert.deepEqual(
        results.omissions.map(({ workload }) => workload),
        ['startup'],
      );
      assert.deepEqual(new Set(results.measurements.map((one) => one.system)), new Set(['mine']));
      const { metrics } = results.measurements.find(({ workload }) => workload === 'latency')!;
      for (const metric of ['p50Ms', 'rssMb'])
        assert.ok(metrics[metric]! > 0, `${metric} is ${metrics[metric]}`);
      assert.ok(await accepts(system.bootstrap));
    } finally {
      await system.stop('SIGTERM');
      system.clear();
    }
  });

  it('measures the direct API', async () => {
    // A client process for each of its cases.
    const both = 'direct,direct-kept';
    const raw = { systems: 'kafabric', workloads: both, sizes: '100KB', seconds: '0.1', bytes: '5MB' };
    const names = { systems: Object.keys(variants), workloads: workloads.map(({ name }) => name) };
    const options = parseOptions({ ...raw, quick: true }, names, { dataFolder: folder });
    const results = await runBenchmark(options, '--quick');
    assert.deepEqual(results.omissions, []);
    const of = (what: string, size: number, from = 'direct') =>
      results.measurements.find(
        ({ workload, params }) => workload === from && params.what === what && params.size === size,
      )!.metrics;
    const [all, half] = [of('pull all', 100_000), of('pull 50 %', 100_000)];
    assert.ok(of('push', 100_000).mbPerS! > 0 && all.mbPerS! > 0 && half.ofIdeal! > 0);
    assert.ok(half.ofIdealData! > 0);
    assert.ok(of('push', 100_000, 'direct-kept').bothCpuPerGb! > 0);
    assert.ok(all.pushPullCpuPerGb! > 0 && all.ofCopy! > 0);
    const metadata = of('pull metadata only', 100_000);
    assert.ok(metadata.recordsPerS! > 0 && metadata.ofSmall! > 0);
    assert.ok(of('latency', 1000).p50Ms! > 0);
  });

  it('merges what the clients of several hosts measured over ssh', async function () {
    skipWithout(
      this,
      existsSync(sshd) ? null : 'sshd not found; get it with: apt-get install openssh-server openssh-client',
    );
    const server = await startSshd(folder);
    const system = new Kafabric(folder, 'kafabric', variants.kafabric!, {});
    try {
      await system.start('os');
      const common = {
        bootstrap: system.bootstrap,
        hosts: '127.0.0.1 localhost',
        threads: '2',
        topic: 'many',
      };
      const rest = { partitions: '4', recordSize: '100', numRecords: '1001', ssh: server.command };
      const run = (type: string, property: string[]) =>
        runClients(parsePlan({ type, ...common, ...rest, property } as RawClientOptions));
      // A partition for each record, so that every host's half has some.
      const spread = ['sticky.partitioning.linger.ms=0'];
      const produced = mergeReports((await run('producer', spread)).map(({ report }) => report));
      assert.equal(produced.records, 1001);
      assert.equal(produced.bytes, 100_100);
      const consumed = await run('consumer', []);
      assert.deepEqual(
        consumed.map(({ host }) => host),
        ['127.0.0.1', 'localhost'],
      );
      // Each host reads its half of the partitions, up to its half of the records.
      assert.ok(mergeReports(consumed.map(({ report }) => report)).records > 500);
    } finally {
      await system.stop('SIGTERM');
      system.clear();
      server.child.kill();
    }
  });
});
