// A client that does all kinds of things with one topic, for so many seconds. Arguments: address of a direct listener, path, topic, seed, seconds,
// and how long one call may take, in milliseconds.
import {
  Client,
  type Consumer,
  DirectError,
  type Event,
  type Path,
  type Selection,
} from '../../src/client/index.ts';
import { contentOf, dataAt, sizes } from './stress-data.ts';

const [, , bootstrap = '', path = '', name = '', seedText = '1', seconds = '5', limitMs = '10000'] =
  process.argv;
const endsAt = Date.now() + Number(seconds) * 1000;
const WORKERS = 3;
let state = Number(seedText) * 2654435761 + 1;

function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const counts: Record<string, number> = {};
let slowest = 0;

/** A call that has to settle in time. What a limit refuses is counted. */
async function timed<T>(what: string, call: () => Promise<T>): Promise<T | null> {
  const from = Date.now();
  const late = setTimeout(() => {
    process.stdout.write(`${what} takes longer than ${limitMs} ms: ${new Error().stack}\n`);
    process.exit(3);
  }, Number(limitMs));
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof DirectError) || error.code !== 'BUFFER_FULL') throw error;
    counts[`${what} refused`] = (counts[`${what} refused`] ?? 0) + 1;
    return null;
  } finally {
    clearTimeout(late);
    counts[what] = (counts[what] ?? 0) + 1;
    slowest = Math.max(slowest, Date.now() - from);
  }
}

function anySelection(size: number): Selection {
  switch (random(6)) {
    case 0:
      return 'none';
    case 1:
      return 'all';
    case 2: {
      const offset = random(size);
      return { offset, length: random(size - offset) };
    }
    case 3: {
      const stride = 1 + random(Math.floor(size / 2));
      const count = 1 + random(Math.min(200, Math.floor(size / stride)));
      return { offset: 0, length: 1 + random(stride), count, stride };
    }
    case 4:
      return Array.from({ length: 1 + random(50) }, () => {
        const offset = random(size);
        return { offset, length: Math.min(size - offset, random(5000)) };
      });
    default:
      return [
        { offset: 0, length: Math.min(size, 100) },
        { offset: 0, length: size },
      ];
  }
}

interface Metadata {
  seed: number;
  size: number;
}

async function checked(event: Event, selection: Selection, bytes: Uint8Array): Promise<void> {
  const { seed, size } = event.metadata as Metadata;
  const expected = dataAt(contentOf(size, seed), selection);
  if (Buffer.compare(bytes, expected) !== 0)
    throw new Error(`${JSON.stringify(selection)} of the event at ${event.offset} differs`);
}

async function useConsumer(client: Client): Promise<void> {
  const topic = await client.openTopic(name);
  const selections = new Map<number, Selection>();
  const isSlow = random(4) === 0;
  const consumer: Consumer = topic.consumer({
    from: random(3) === 0 ? { offset: BigInt(random(60)) } : 'earliest',
    partitions: [random(topic.partitions)],
    prefetchBytes: 1 << (10 + random(12)),
    prefetchDataBytes: 1 << (16 + random(10)),
    select: (metadata) => {
      const { seed, size } = metadata as Metadata;
      const selection = anySelection(size);
      selections.set(seed, selection);
      return selection;
    },
  });
  const held: { release(): void }[] = [];
  const later: Promise<unknown>[] = [];
  for (let i = random(60); i >= 0 && Date.now() < endsAt; i--) {
    const event = await timed('pull', () => consumer.pull({ timeoutMs: 2000 }));
    if (event === null) break;
    const { seed, size } = event.metadata as Metadata;
    const selection = selections.get(seed)!;
    if (event.selected !== null) await checked(event, selection, event.selected);
    if (random(6) === 0) {
      const view = await timed('view', () => event.view());
      if (view !== null) {
        await checked(event, 'all', view.bytes);
        held.push(view);
      }
    }
    if (random(4) === 0) {
      const other = anySelection(size);
      later.push(
        timed('data', () => event.data(other)).then((bytes) => bytes && checked(event, other, bytes)),
      );
    }
    if (held.length > 0 && random(3) === 0) held.splice(random(held.length), 1)[0]!.release();
    if (isSlow) await pause(random(100));
  }
  // Some are closed with much under way.
  if (random(2) === 0) await Promise.all(later);
  await timed('close', () => consumer.close());
  for (const view of held) view.release();
  await Promise.all(later);
}

async function push(client: Client): Promise<void> {
  const topic = await client.openTopic(name);
  const producer = topic.producer();
  const pushed: Promise<unknown>[] = [];
  for (let i = random(20); i >= 0; i--) {
    const seed = random(1 << 20);
    const size = sizes[random(sizes.length)]!;
    const content = contentOf(size, seed);
    const buffer = random(2) === 0 ? await timed('allocate', () => client.allocate(size)) : null;
    buffer?.bytes.set(content);
    pushed.push(
      timed('push', () => producer.push({ seed, size }, buffer?.bytes ?? content)).finally(() =>
        buffer?.release(),
      ),
    );
  }
  await Promise.all(pushed);
  await producer.close();
}

async function work(): Promise<void> {
  let client: Client | null = null;
  while (Date.now() < endsAt) {
    client ??= await Client.connect({
      bootstrap,
      path: path as Path,
      sharedChunkBytes: 8 << 20,
      sharedMaxBytes: 96 << 20,
      requestTimeoutMs: Number(limitMs) / 2,
    });
    await (random(3) === 0 ? push(client) : useConsumer(client));
    if (random(5) === 0) {
      client.close();
      client = null;
    }
  }
  client?.close();
}

await Promise.all(Array.from({ length: WORKERS }, work));
process.stdout.write(`${JSON.stringify({ slowest, ...counts })}\n`);
