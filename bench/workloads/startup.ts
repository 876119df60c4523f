import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, memoryOf } from '../measure/proc.ts';
import type { Workload } from './workload.ts';

const restMs = 1500;

export const startup: Workload = {
  name: 'startup',
  about:
    'from the start of the process to the first accepted connection and to the first answer; memory and CPU at rest',
  deployment: 'os',
  needsControl: true,
  async run(pass) {
    const pid = pass.system.pid!;
    const startCpu = cpuSeconds(pid) ?? Number.NaN;
    await sleep(restMs);
    const memory = memoryOf(pid);
    const before = cpuSeconds(pid) ?? Number.NaN;
    await sleep(restMs);
    pass.record(
      'startup',
      {},
      {
        acceptSeconds: pass.started.acceptSeconds,
        answerSeconds: pass.started.answerSeconds,
        startCpuSeconds: startCpu,
        idleCpuPercent: (((cpuSeconds(pid) ?? Number.NaN) - before) / (restMs / 1000)) * 100,
        ...memory,
        rssOwnMb: memory ? memory.rssMb - memory.rssShmemMb - memory.rssHugeMb : Number.NaN,
      },
    );
  },
};
