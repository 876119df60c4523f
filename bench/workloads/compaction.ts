import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerProperties } from '../generators/native.ts';
import { Meter } from '../measure/meter.ts';
import type { Pass } from '../pass.ts';
import { sizesOf, type Workload } from './workload.ts';

const partitions = 4;
const versionsOfKey = 10;
const segmentBytes = 16_777_216;
const pollMs = 20;
const timeoutMs = 120_000;
/** Done when the log is not larger than so many times what is to be left. */
const slack = 1.5;

/** All below a folder, listed again when one of its folders vanishes meanwhile: those of dropped topics do. */
function namesBelow(folder: string): string[] {
  for (;;) {
    try {
      return readdirSync(folder, { recursive: true, encoding: 'utf8' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || !existsSync(folder)) throw error;
    }
  }
}

/** Bytes in the segments of a topic that are not appended to any more. */
function closedBytes(folder: string, topic: string): number {
  let bytes = 0;
  const logs = namesBelow(folder)
    .filter((name) => name.endsWith('.log') && name.includes(`${topic}-`))
    .sort();
  for (const [i, name] of logs.entries()) {
    const isLast = logs[i + 1]?.replace(/[^/]*$/, '') !== name.replace(/[^/]*$/, '');
    // A segment that vanishes meanwhile was compacted.
    if (!isLast) bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

async function compact(pass: Pass, folder: string, size: number): Promise<void> {
  const config = { ...pass.system.topicConfig, 'segment.bytes': `${segmentBytes}` };
  const topic = await pass.topic(partitions, config);
  const { bytes } = pass.options;
  const keys = Math.ceil(bytes / size / versionsOfKey);
  await pass.native.run('produce', { topic, size, bytes, keys, properties: producerProperties('all') });
  const before = closedBytes(folder, topic);
  const after = keys * size * slack;
  const meter = new Meter(pass.system.pid);
  meter.start();
  const from = performance.now();
  try {
    await pass.native.configureTopic(topic, {
      ...config,
      'cleanup.policy': 'compact',
      'min.cleanable.dirty.ratio': '0.01',
    });
    while (closedBytes(folder, topic) > after) {
      if (performance.now() - from > timeoutMs) throw new Error(`${topic} was not compacted in two minutes`);
      await sleep(pollMs);
    }
  } finally {
    meter.cancel();
  }
  const seconds = (performance.now() - from) / 1000;
  const usage = await meter.stop();
  pass.record(
    'compaction',
    { size },
    {
      mbPerS: before / 1e6 / seconds,
      cpuPerGb: ((usage.cpuSeconds ?? Number.NaN) * 1e9) / before,
      writtenPerByte: (usage.writtenBytes ?? Number.NaN) / before,
      rssMb: usage.peak?.rssMb ?? Number.NaN,
    },
  );
  await pass.drop(topic);
}

export const compaction: Workload = {
  name: 'compaction',
  about: `a topic of ${versionsOfKey} versions of each key, all dirty, from the moment when it is to be compacted until only the last ones are left`,
  deployment: 'compaction',
  onRequest: 'quick',
  once: true,
  needsControl: true,
  async run(pass) {
    const folder = pass.system.dataFolder;
    if (folder === null) return;
    for (const size of sizesOf(pass, [1000], [100, 1000, 10_000])) await compact(pass, folder, size);
  },
};
