import { type Client, type Event, strided, type TopicHandle } from '../../src/client/index.ts';

/** With some that come with their metadata, and some that several threads of the gateway copy. */
const sizes = [1000, 100_000, 1_000_000, 6_000_001];
const AT_ONCE = 8;
/** The same in every process. */
const pattern = Buffer.from(Array.from({ length: 65_537 }, (_, i) => (i * i * 31 + (i >> 3)) & 0xff));
const PULL_MS = 120_000;

interface Metadata {
  readonly seed: number;
  readonly size: number;
}

function content(size: number, seed: number): Buffer {
  return Buffer.alloc(size, pattern.subarray(seed * 101));
}

function sizeOf(seed: number): number {
  return sizes[seed % sizes.length]!;
}

/**
 * Pushes events, and pulls them again, with what others have pushed meanwhile: some as a whole, some in part, some as views. Rejects when anything is
 * not what was pushed. Returns the bytes that came.
 */
export async function roundTrip(client: Client, topic: TopicHandle, events: number): Promise<number> {
  const first = await pushAll(client, topic, events);
  const consumer = topic.consumer({
    from: { offset: first },
    select: (metadata) => selectionFor((metadata as Metadata).seed),
    prefetchDataBytes: 16 << 20,
  });
  let bytes = 0;
  try {
    for (let pulled = 0; pulled < events; pulled++) {
      const event = await consumer.pull({ timeoutMs: PULL_MS });
      if (event === null) throw new Error(`only ${pulled} of ${events} events came`);
      bytes += await check(event);
      event.acknowledge();
    }
  } finally {
    await consumer.close();
  }
  return bytes;
}

/** Resolves to the offset of the first. */
async function pushAll(client: Client, topic: TopicHandle, events: number): Promise<bigint> {
  const producer = topic.producer();
  const offsets: bigint[] = [];
  let next = 0;
  const push = async () => {
    while (next < events) {
      const seed = next++;
      const size = sizeOf(seed);
      const buffer = await client.allocate(size);
      buffer.bytes.set(content(size, seed));
      const { offset } = await producer.push({ seed, size } satisfies Metadata, buffer.bytes);
      buffer.release();
      offsets.push(offset);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, push));
  await producer.close();
  return offsets.reduce((least, offset) => (offset < least ? offset : least));
}

const partFor = (size: number) => strided(3, 5, Math.floor(size / 7), Math.floor(size / 6));
const longPartOf = (size: number) => ({ offset: 5, length: size - 7 });

function selectionFor(seed: number) {
  const size = sizeOf(seed);
  const round = Math.floor(seed / sizes.length) % 4;
  return round === 0 ? 'all' : round === 1 ? partFor(size) : round === 2 ? longPartOf(size) : 'none';
}

async function check(event: Event): Promise<number> {
  const { seed, size } = event.metadata as Metadata;
  const expected = content(size, seed);
  const selection = selectionFor(seed);
  if (selection === 'none') {
    const view = await event.view();
    assertSame(view.bytes, expected, event);
    view.release();
    return size;
  }
  const {
    offset,
    length,
    count = 1,
    stride = length,
  } = selection === 'all' ? { offset: 0, length: size } : (selection as ReturnType<typeof strided>);
  const parts = Array.from({ length: count }, (_, i) =>
    expected.subarray(offset + i * stride, offset + i * stride + length),
  );
  assertSame(event.selected!, Buffer.concat(parts), event);
  return event.selected!.byteLength;
}

function assertSame(bytes: Uint8Array, expected: Uint8Array, { offset }: Event): void {
  if (Buffer.compare(bytes, expected) !== 0)
    throw new Error(`the data of the event at ${offset} is not what was pushed`);
}
