import { isUtf8 } from 'node:buffer';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { Consumer, DeclarativeSelector, DirectError, Event, Selection } from '../../client/index.ts';
import { interruptible, writeOut } from './interruption.ts';
import { MAX_TIMER_MS, whole } from './number-options.ts';
import { Progress } from './progress.ts';
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

interface ConsumeOptions extends Target, PathOptions {
  group?: string;
  from: string;
  count?: number;
  idleMs?: number;
  select?: string;
  metadataOnly: boolean;
  out?: string;
}

/** As `--out`: the data itself, one behind the other, in place of lines. */
const STANDARD_OUTPUT = '-';

/** `kafabric consume`: events to files and standard output. */
export function addConsumeCommand(program: Command): void {
  withPath(target(program.command('consume <topic>')))
    .description('pull events: one line of JSON each')
    .option('--group <id>', 'share the partitions with others of this group, and commit what was written out')
    .option('--from <position>', positionText, 'earliest')
    .option('--count <n>', 'end after so many', whole(1))
    .option('--idle-ms <ms>', 'end when nothing has come for so long', whole(1, MAX_TIMER_MS))
    .option(
      '--select <selection>',
      'all, none, offset:length or offset:length:count:stride in bytes, or JSON as the direct API takes it (default: none, with --out all)',
    )
    .addOption(
      new Option('--metadata-only', 'the same as --select none').default(false).conflicts(['select', 'out']),
    )
    .option(
      '--out <directory>',
      'write the selected data to files there, <topic>-<partition>-<offset>.bin; - writes it to standard output, in place of the lines',
    )
    .action(consume);
}

async function consume(topic: string, options: ConsumeOptions): Promise<void> {
  const { group, out } = options;
  const select = selectionOf(options.select ?? (out === undefined ? 'none' : 'all'));
  const from = positionOf(options.from);
  const signal = interruptible();
  if (out !== undefined && out !== STANDARD_OUTPUT) await mkdir(out, { recursive: true });
  await withClient(
    options,
    async (client) => {
      const handle = await client.openTopic(topic);
      const consumer = handle.consumer({ select, from, ...(group === undefined ? {} : { groupId: group }) });
      try {
        await pullAll(consumer, options, signal);
      } catch (error) {
        // The first error is the one to tell.
        await consumer.close().catch(() => undefined);
        throw error;
      }
      await consumer.close();
    },
    signal,
  );
}

async function pullAll(
  consumer: Consumer,
  { count = Number.POSITIVE_INFINITY, idleMs, out }: ConsumeOptions,
  signal: AbortSignal,
): Promise<void> {
  // On a terminal the lines are progress enough.
  const progress = new Progress('pulled', process.stdout.isTTY !== true);
  const patience = idleMs === undefined ? {} : { timeoutMs: idleMs };
  for (let seen = 0; seen < count; seen++) {
    const event = await consumer.pull({ ...patience, signal }).catch(tell);
    if (event === undefined) continue;
    if (event === null || !(await write(event, out))) return;
    event.acknowledge();
    progress.add(event.selected?.byteLength ?? 0);
  }
}

/** That an event does not have what is selected is no reason to leave out those behind it. @throws the error, unless it says that */
function tell(error: DirectError): undefined {
  if (error.code !== 'INVALID_ARGUMENT') throw error;
  process.stderr.write(`kafabric: ${error.message}\n`);
  process.exitCode = 1;
}

/** False when it could not be written, and nothing more can be. */
async function write(event: Event, out: string | undefined): Promise<boolean> {
  const { topic, partition, offset, timestamp, key, metadata, descriptor, selected } = event;
  if (out === STANDARD_OUTPUT) return selected === null || writeOut(selected);
  if (out !== undefined && selected !== null)
    await writeFile(join(out, `${topic}-${partition}-${offset}.bin`), selected);
  const line = {
    partition,
    offset,
    timestamp,
    key: key === null || !isUtf8(key) ? key : Buffer.from(key).toString(),
    metadata,
    size: descriptor.size,
    selected: selected?.byteLength ?? 0,
  };
  return writeOut(`${jsonOf(line)}\n`);
}

/** @throws Error when the text is none */
function selectionOf(text: string): Selection | DeclarativeSelector {
  if (text === 'all' || text === 'none') return text;
  if (/^\d+:\d+(:\d+:\d+)?$/.test(text)) {
    const [offset, length, count, stride] = text.split(':').map(Number);
    return { offset: offset!, length: length!, ...(count === undefined ? {} : { count, stride: stride! }) };
  }
  try {
    if (/^[{[]/.test(text)) return JSON.parse(text);
  } catch (error) {
    throw new Error(`--select is neither a selection nor JSON: ${(error as Error).message}`);
  }
  throw new Error(`"${text}" is no selection: all, none, offset:length, offset:length:count:stride or JSON`);
}
