import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import type { Command } from 'commander';
import type { Producer, PushOptions, PushResult } from '../../client/index.ts';
import { interruptible, writeOut } from './interruption.ts';
import { linesOf } from './lines.ts';
import { allowModules, type ModuleOptions, modulesOf } from './modules.ts';
import { whole } from './number-options.ts';
import { Progress } from './progress.ts';
import { type PathOptions, say, type Target, target, withClient, withPath } from './target.ts';

interface ProduceOptions extends Target, PathOptions, ModuleOptions {
  data?: string;
  metadata?: string;
  key?: string;
  partition?: number;
}

/** Lines of standard input that are under way, and the bytes of those. */
const MAX_UNDER_WAY = 1000;
const MAX_BYTES_UNDER_WAY = 64 << 20;
/** A record is smaller. */
const MAX_DATA_BYTES = 2 ** 31 - 1;

/** `kafabric produce`: events from files and standard input. */
export function addProduceCommand(program: Command): void {
  allowModules(withPath(target(program.command('produce <topic>'))))
    .description(
      'push events: one with --data or --metadata, else one for each line of JSON on standard input, its metadata',
    )
    .option('--data <file>', 'its content is the data; - is standard input')
    .option('--metadata <json>', 'the metadata; null when absent')
    .option('--key <text>', 'the key of every event')
    .option('--partition <n>', 'for every event', whole(0, 2 ** 31 - 1))
    .addHelpText(
      'after',
      '\nIt ends at the first event that cannot be pushed; those before it are, and are counted. So are those under way at Ctrl-C.',
    )
    .action(produce);
}

async function produce(topic: string, options: ProduceOptions): Promise<void> {
  const { data, metadata, key, partition, json } = options;
  const signal = interruptible();
  const common: PushOptions = {
    ...(key === undefined ? {} : { key }),
    ...(partition === undefined ? {} : { partition }),
  };
  const parsed = metadata === undefined ? null : parse(metadata, '--metadata');
  const isOne = data !== undefined || metadata !== undefined;
  const bytes = isOne ? await contentOf(data, signal) : null;
  await withClient(
    { ...options, ...modulesOf(options) },
    async (client) => {
      const producer = (await client.openTopic(topic)).producer();
      const pushes = new Pushes(json);
      const pushing =
        bytes === null
          ? pushLines(standardInput(AbortSignal.any([signal, pushes.failed])), producer, common, pushes)
          : pushes.add(producer.push(parsed, bytes, common), bytes.byteLength);
      const [last, first] = [await failureOf(pushing), await failureOf(pushes.end())];
      if (!json) say({}, `${pushes.acknowledged} events pushed`, false);
      for (const failure of [first, last]) if (failure !== null) throw failure;
      await producer.close();
    },
    signal,
  );
}

async function pushLines(
  input: AsyncIterable<Uint8Array>,
  producer: Producer,
  common: PushOptions,
  pushes: Pushes,
): Promise<void> {
  for await (const { number, text } of linesOf(input)) {
    if (text.trim() === '') continue;
    const name = `line ${number}`;
    await pushes.add(producer.push(parse(text, name), undefined, common), text.length, name);
  }
}

/** Events that are under way. What became of each is said in their order. */
class Pushes {
  readonly #json: boolean;
  readonly #progress = new Progress('pushed');
  /** Each ends when it is said what became of it. */
  readonly #underWay: Promise<void>[] = [];
  #bytes = 0;
  #failure: Error | null = null;
  readonly #failed = new AbortController();
  acknowledged = 0;

  /** @param json whether each result is a line of the output */
  constructor(json: boolean) {
    this.#json = json;
  }

  /** Fires when one has failed: the next line may be long in coming. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Waits while much is under way. Rejects when this one or one before it has failed. @param name of it, in errors */
  async add(pushed: Promise<PushResult>, bytes: number, name?: string): Promise<void> {
    const result = pushed.catch((error: Error) => {
      this.#failure ??= name === undefined ? error : new Error(`${name}: ${error.message}`, { cause: error });
      this.#failed.abort();
      return null;
    });
    this.#bytes += bytes;
    this.#underWay.push(this.#settle(this.#underWay.at(-1), result, bytes));
    while (this.#underWay.length >= MAX_UNDER_WAY || this.#bytes > MAX_BYTES_UNDER_WAY)
      await this.#underWay[0];
    if (this.#failure !== null) throw this.#failure;
  }

  /** Resolves when all are acknowledged. When one failed it rejects with that, once all are settled. */
  async end(): Promise<void> {
    await this.#underWay.at(-1);
    if (this.#failure !== null) throw this.#failure;
  }

  /** In order: behind the one before. */
  async #settle(
    before: Promise<void> | undefined,
    result: Promise<PushResult | null>,
    bytes: number,
  ): Promise<void> {
    await before;
    const pushed = await result;
    if (pushed !== null) {
      this.acknowledged++;
      this.#progress.add(bytes);
      const { partition, offset } = pushed;
      // Nobody may be waiting for this one.
      if (this.#json)
        await writeOut(`${JSON.stringify({ partition, offset: String(offset) })}\n`).catch((error: Error) => {
          this.#failure ??= error;
        });
    }
    this.#bytes -= bytes;
    this.#underWay.shift();
  }
}

function failureOf(promise: Promise<void>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  );
}

/** Nothing more comes from it, but an error, once the signal has fired. */
function standardInput(signal: AbortSignal): AsyncIterable<Uint8Array> {
  return addAbortSignal(signal, process.stdin);
}

async function contentOf(file: string | undefined, signal: AbortSignal): Promise<Uint8Array> {
  if (file === undefined) return new Uint8Array(0);
  if (file !== '-') return readFile(file);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of standardInput(signal)) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > MAX_DATA_BYTES) throw new Error(`standard input has more than ${MAX_DATA_BYTES} bytes`);
  }
  return Buffer.concat(chunks);
}

/** @throws Error that says what is not JSON */
function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON: ${(error as Error).message}`);
  }
}
