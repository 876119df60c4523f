import { statfsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerProperties } from '../generators/native.ts';
import { dropCaches } from '../measure/machine.ts';
import { memoryOf } from '../measure/proc.ts';
import { bytesText } from '../model.ts';
import type { Pass } from '../pass.ts';
import { Omitted, type Workload } from './workload.ts';

const size = 100_000;
/** What stays free on the disk. */
const reserve = 10e9;

/** Bytes that earlier workloads left plus those added here. */
async function fill(pass: Pass, wanted: number): Promise<number> {
  const kept = pass.stored.reduce((sum, one) => sum + one.records * one.size, 0);
  if (kept >= wanted) return kept;
  const disk = statfsSync(pass.options.dataFolder);
  const free = disk.bavail * disk.bsize - reserve;
  const bytes = wanted - kept;
  if (free < bytes) throw new Omitted(`${bytesText(bytes)} more do not fit on the disk`);
  const topic = await pass.topic(4);
  const report = await pass.native.run('produce', {
    topic,
    size,
    bytes,
    properties: producerProperties('1'),
  });
  return kept + report.bytes!;
}

async function seconds(pass: Pass, signal: 'SIGTERM' | 'SIGKILL'): Promise<{ stop: number; start: number }> {
  const from = performance.now();
  await pass.system.stop(signal);
  const stop = (performance.now() - from) / 1000;
  dropCaches();
  const { answerSeconds } = await pass.system.resume();
  return { stop, start: answerSeconds };
}

export const recovery: Workload = {
  name: 'recovery',
  about:
    'with data stored, caches dropped: start after a clean stop, and after kill -9, until the first answer',
  deployment: 'os',
  onRequest: 'quick',
  once: true,
  needsControl: true,
  async run(pass) {
    const stored = await fill(pass, pass.options.storedBytes);
    const clean = await seconds(pass, 'SIGTERM');
    await sleep(500);
    // A log that is open for writing is what recovery has to look at.
    const topic = await pass.topic(4);
    await pass.native.run('produce', { topic, size, bytes: 100e6, properties: producerProperties('1') });
    const crash = await seconds(pass, 'SIGKILL');
    pass.record(
      'recovery',
      { stored: bytesText(pass.options.storedBytes) },
      {
        storedGb: stored / 1e9,
        stopSeconds: clean.stop,
        restartSeconds: clean.start,
        recoverySeconds: crash.start,
        rssMb: memoryOf(pass.system.pid!)?.rssMb ?? Number.NaN,
      },
    );
    // What follows is measured warm.
    await pass.warmUp();
  },
};
