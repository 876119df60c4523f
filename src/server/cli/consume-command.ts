import { isUtf8 } from 'node:buffer';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { Consumer, DirectError, DirectErrorCode, Event } from '../../client/index.ts';
import { MAX_TIMER_MS } from '../../util/clock.ts';
import { interruptible, writeOut } from './interruption.ts';
import { allowModules, type ModuleOptions, modulesOf } from './modules.ts';
import { whole } from './number-options.ts';
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

interface ConsumeOptions extends Target, PathOptions, ModuleOptions {
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
  allowModules(withPath(target(program.command('consume <topic>'))))
    .description('pull events: one line of JSON each')
    .option('--group <id>', 'share the partitions with others of this group, and commit what was written out')
    .option('--from <position>', positionText, 'earliest')
    .option('--count <n>', 'end after so many', whole(1))
    .option('--idle-ms <ms>', 'end when nothing has come for so long', whole(1, MAX_TIMER_MS))
    .option(
      '--select <selection>',
      `${SELECTIONS} (default: what is stored with the group, or none; with --out all)`,
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
  const text = options.metadataOnly
    ? 'none'
    : (options.select ?? (out === undefined || group !== undefined ? undefined : 'all'));
  const select = text === undefined ? {} : { select: selectorOf(text) };
  const from = positionOf(options.from);
  const signal = interruptible();
  if (out !== undefined && out !== STANDARD_OUTPUT) await mkdir(out, { recursive: true });
  await withClient(
    { ...options, ...modulesOf(options) },
    async (client) => {
      const handle = await client.openTopic(topic);
      const consumer = handle.consumer({
        ...select,
        from,
        ...(group === undefined ? {} : { groupId: group }),
      });
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
    const event = await consumer.pull({ ...patience, signal }).catch((error: DirectError) => {
      if (error === consumer.failure) throw error;
      return tell(error);
    });
    if (event === undefined) continue;
    if (event === null) return;
    const isWritten = await write(event, out).catch(tell);
    if (isWritten === undefined) continue;
    if (!isWritten) return;
    event.acknowledge();
    progress.add(event.selected?.byteLength ?? 0);
  }
}

/** What one event does not have, or has no more, and metadata that cannot be read: those behind it are not left out for that. */
const OF_ONE_EVENT: ReadonlySet<unknown> = new Set<DirectErrorCode>([
  'INVALID_ARGUMENT',
  'INVALID_METADATA',
  'DELETED',
]);

/** @throws the error, unless it is about one event alone */
function tell(error: Error & { code?: unknown }): undefined {
  if (!OF_ONE_EVENT.has(error.code)) throw error;
  process.stderr.write(`kafabric: ${error.message}\n`);
  process.exitCode = 1;
}

/** False when it could not be written, and nothing more can be. Rejects with INVALID_METADATA, and has written nothing then. */
async function write(event: Event, out: string | undefined): Promise<boolean> {
  if (out === STANDARD_OUTPUT) return event.selected === null || writeOut(event.selected);
  const { topic, partition, offset, timestamp, key, metadata, descriptor, selected } = event;
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
