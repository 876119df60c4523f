import assert from 'node:assert/strict';
import { still } from './meter.ts';
import {
  cpuSeconds,
  memoryOf,
  parseCpu,
  parseMemory,
  parseWritten,
  readBytes,
  writtenBytes,
} from './proc.ts';
import { countSyscalls, parsePerf, parseStrace, tracer } from './syscalls.ts';

describe('what the benchmark reads of processes', () => {
  it('takes user and system time, whatever the command is called', () => {
    const rest = 'S 1 1 1 0 -1 4194304 500 0 0 0 250 150 0 0 20 0 11 0 100 0 0';
    assert.equal(parseCpu(`42 (java) ${rest}`), 4);
    assert.equal(parseCpu(`42 (a) b (c) ${rest}`), 4);
  });

  it('takes resident memory by kind', () => {
    const resident =
      'VmRSS:\t  250000 kB\nRssAnon:\t  125000 kB\nRssFile:\t   25000 kB\nRssShmem:\t  100000 kB\n';
    const plain = { rssMb: 256, rssAnonMb: 128, rssFileMb: 25.6, rssShmemMb: 102.4, rssHugeMb: 0 };
    assert.deepEqual(parseMemory(`Name:\tnode\n${resident}`), plain);
    const huge = parseMemory(`${resident}HugetlbPages:\t  1000000 kB\n`);
    assert.deepEqual(huge, { ...plain, rssMb: 1280, rssHugeMb: 1024 });
  });

  it('takes bytes that go to a device, whether or not deleted files took some back', () => {
    const io =
      'rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 4096000\ncancelled_write_bytes: 96000\n';
    assert.equal(parseWritten(io), 4_096_000);
  });

  it('looks into this process, and into none that is gone', () => {
    assert.ok(cpuSeconds(process.pid)! > 0);
    assert.ok(memoryOf(process.pid)!.rssMb > 1);
    assert.ok(writtenBytes(process.pid)! >= 0);
    assert.ok(readBytes(process.pid)! >= 0);
    assert.equal(cpuSeconds(2 ** 30), null);
  });

  it('waits until a figure grows no more, and not for ever', async () => {
    const reads = async (figures: (number | null)[], patienceMs = 100) => {
      let count = 0;
      await still(() => figures[Math.min(count++, figures.length - 1)]!, 1, patienceMs, 1);
      return count;
    };
    assert.equal(await reads([0, 5, 9, 10, 20]), 4);
    assert.equal(await reads([0, null]), 2);
    assert.equal(await reads([0, 5, 10, 15, 20], 3), 4);
  });

  it('counts no system calls of a process that is gone, and does not wait for them', async function () {
    if (tracer() === null) return this.skip();
    const stop = await countSyscalls(2 ** 22 + 1);
    assert.ok(Number.isNaN(await stop()));
  });

  it('reads the counts of perf and strace', () => {
    assert.equal(parsePerf('12345,,raw_syscalls:sys_enter,1000,100.00,,\n'), 12_345);
    assert.ok(Number.isNaN(parsePerf('<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n')));
    assert.ok(Number.isNaN(parsePerf("Error: can't open event 'raw_syscalls:sys_enter'\n")));
    const table = (line: string) => `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.000100           1        70         3 futex
------ ----------- ----------- --------- --------- ----------------
${line}\n`;
    assert.equal(parseStrace(table('100.00    0.000123           1        80         3 total')), 80);
    assert.equal(parseStrace(table('100.00    0.000123           1        81           total')), 81);
    assert.ok(Number.isNaN(parseStrace('strace: attach: Operation not permitted\n')));
  });
});
