import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import type { PushOptions, PushResult } from '../../client/index.ts';
import { allowModules, type ModuleOptions, modulesOf } from './modules.ts';
import { Progress } from './progress.ts';
import { SELECTIONS, selectorOf } from './selections.ts';
import {
  jsonOf,
  type PathOptions,
  positionOf,
  positionText,
  type Target,
  target,
  withClient,
  withPath,
} from './target.ts';

interface ProduceOptions extends Target, PathOptions, ModuleOptions {
  data?: string;
  metadata?: string;
  key?: string;
  partition?: number;
}

interface ConsumeOptions extends Target, PathOptions, ModuleOptions {
  group?: string;
  from: string;
  count?: number;
  idleMs?: number;
  select?: string;
  metadataOnly: boolean;
  out?: string;
}

/** Lines of standard input that are under way; each is an event. */
const MAX_UNDER_WAY = 1000;

/** `kafabric produce` and `kafabric consume`: events from and to files, standard input and output. */
export function addEventCommands(program: Command): void {
  allowModules(withPath(target(program.command('produce <topic>'))))
    .description(
      'push events: one with --data or --metadata, else one for each line of JSON on standard input',
    )
    .option('--data <file>', 'its content is the data')
    .option('--metadata <json>', 'the metadata; null when absent')
    .option('--key <text>', 'the key of every event')
    .option('--partition <n>', 'for every event', Number)
    .action(produce);
  allowModules(withPath(target(program.command('consume <topic>'))))
    .description('pull events: one line of JSON each')
    .option('--group <id>', 'share the partitions with others of this group, and commit')
    .option('--from <position>', positionText, 'earliest')
    .option('--count <n>', 'end after so many', Number)
    .option('--idle-ms <ms>', 'end when nothing has come for so long', Number)
    .option('--select <selection>', `${SELECTIONS}; default: what is stored with the group, or none`)
    .option('--metadata-only', 'the same as --select none', false)
    .option('--out <directory>', 'write the selected data to files there, <topic>-<partition>-<offset>.bin')
    .action(consume);
}

async function produce(topic: string, options: ProduceOptions): Promise<void> {
  const { data, metadata, key, partition, json } = options;
  const common: PushOptions = {
    ...(key === undefined ? {} : { key }),
    ...(partition === undefined ? {} : { partition }),
  };
  await withClient({ ...options, ...modulesOf(options) }, async (client) => {
    const producer = (await client.openTopic(topic)).producer();
    const progress = new Progress('pushed');
    let pushed = 0;
    const say = ({ partition: index, offset }: PushResult, bytes: number) => {
      pushed++;
      progress.add(bytes);
      if (json) process.stdout.write(`${JSON.stringify({ partition: index, offset: String(offset) })}\n`);
    };
    if (data !== undefined || metadata !== undefined) {
      const bytes = data === undefined ? new Uint8Array(0) : await readFile(data);
      const parsed: unknown = metadata === undefined ? null : JSON.parse(metadata);
      say(await producer.push(parsed, bytes, common), bytes.byteLength);
    } else {
      const underWay: { result: Promise<PushResult>; bytes: number }[] = [];
      const sayFirst = async () => {
        const { result, bytes } = underWay.shift()!;
        say(await result, bytes);
      };
      for await (const line of createInterface({ input: process.stdin })) {
        if (line.trim() === '') continue;
        const result = producer.push(JSON.parse(line), undefined, common);
        result.catch(() => undefined); // seen when its turn comes
        underWay.push({ result, bytes: line.length });
        if (underWay.length >= MAX_UNDER_WAY) await sayFirst();
      }
      while (underWay.length > 0) await sayFirst();
    }
    await producer.close();
    if (!json) process.stdout.write(`${pushed} events pushed\n`);
  });
}

async function consume(topic: string, options: ConsumeOptions): Promise<void> {
  const { group, count = Number.POSITIVE_INFINITY, idleMs, out } = options;
  const text = options.metadataOnly ? 'none' : options.select;
  const select = text === undefined ? {} : { select: selectorOf(text) };
  const from = positionOf(options.from);
  await withClient({ ...options, ...modulesOf(options) }, async (client) => {
    const handle = await client.openTopic(topic);
    const consumer = handle.consumer({ ...select, from, ...(group === undefined ? {} : { groupId: group }) });
    const progress = new Progress('pulled');
    for (let seen = 0; seen < count; seen++) {
      const event = await consumer.pull(idleMs === undefined ? {} : { timeoutMs: idleMs });
      if (event === null) break;
      const { partition, offset, timestamp, key, metadata, descriptor, selected } = event;
      const file = `${topic}-${partition}-${offset}.bin`;
      if (out !== undefined && selected !== null) await writeFile(join(out, file), selected);
      const line = {
        partition,
        offset: String(offset),
        timestamp,
        key: key === null ? null : Buffer.from(key).toString(),
        metadata,
        size: descriptor.size,
        selected: selected?.byteLength ?? 0,
      };
      process.stdout.write(`${jsonOf(line)}\n`);
      event.acknowledge();
      progress.add(line.selected);
    }
    await consumer.close();
  });
}
