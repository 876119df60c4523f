import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { FileSystem } from '../../../backend/log/ports.ts';
import type { TopicConfig } from '../../../config/index.ts';
import { arenaStats } from '../../../native/arena.ts';
import { buildBatch } from '../../../protocol/records/builder.ts';
import type { Partition } from '../partition.ts';
import { inNativeMemory, TestBroker, topicConfig, withoutPlace } from '../testing.ts';

export const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const SETTINGS = {
  'payload.min.bytes': '10000',
  'payload.segment.bytes': '1048576',
  // A log segment for every fifty batches.
  'segment.index.bytes': '400',
  'index.interval.bytes': '0',
  'file.delete.delay.ms': '0',
  'retention.ms': '-1',
};

export interface MoveSetup {
  config?: Record<string, string>;
  topics?: readonly (typeof TOPIC)[];
  faulty?: (fileSystem: FileSystem) => FileSystem;
  mayCopy?: () => boolean;
  otherDirectories?: readonly string[];
  beforeLoading?: () => Promise<void>;
  /** Payload goes to a tier in a directory of its own. */
  tiered?: boolean;
}

/** The value of record `number`, which says which it is: every third is diverted. */
function contentOf(number: number): Buffer {
  const value = Buffer.alloc(
    number % 3 === 0 ? 50_000 + (number % 7) * 1_000 : 500 + (number % 5) * 100,
    number,
  );
  value.writeUInt32BE(number);
  return value;
}

export function batchOf(number: number): Uint8Array {
  return buildBatch([{ key: Buffer.from(`k${number % 50}`), value: contentOf(number) }], {
    timestamp: 1_700_000_000_000n,
  });
}

/** A broker with three data directories, whose one partition holds what `produce` was called for. */
export class MoveFixture {
  readonly root: string;
  readonly directories: readonly string[];
  readonly produced: Uint8Array[] = [];
  broker!: TestBroker;

  constructor(root = mkdtempSync(join(tmpdir(), 'log-dir-moves-'))) {
    this.root = root;
    this.directories = [0, 1, 2].map((position) => join(root, `logs-${position}`));
  }

  async start({ config = {}, topics = [TOPIC], tiered = false, ...rest }: MoveSetup = {}): Promise<void> {
    const [first, ...otherDirectories] = this.directories;
    this.broker = await TestBroker.start(first!, topics, this.config(config), undefined, {
      copyThreads: 2,
      otherDirectories,
      ...(tiered && { tiers: () => ({ tiers: [this.#tier] }) }),
      ...rest,
    });
  }

  config(values: Record<string, string> = {}): TopicConfig {
    return topicConfig({ ...SETTINGS, ...values });
  }

  get #tier() {
    const path = join(this.root, 'tier');
    return { ordinal: 'first', type: 'NVME', paths: [{ path, sizeBytes: -1 }] };
  }

  get partition(): Partition {
    return this.broker.partitions.find('t', 0)!;
  }

  /** The position of the directory in which the partition is. */
  get at(): number {
    return this.directories.indexOf(dirname(this.partition.log.directory));
  }

  alter(position: number): number {
    return this.broker.moves.alter('t', 0, this.directories[position]!);
  }

  /** Resolves when nothing is being moved. */
  settled(): Promise<void> {
    return this.broker.moves.idle();
  }

  async move(position: number): Promise<void> {
    assert.equal(this.alter(position), 0);
    await this.settled();
    assert.equal(this.at, position);
  }

  async produceOne(number = this.produced.length): Promise<bigint> {
    const batch = batchOf(number);
    const frame = inNativeMemory(batch);
    try {
      const { baseOffset } = await this.partition.produce(frame.bytes(), frame, number % 2 === 0);
      this.produced[Number(baseOffset)] = batch;
      return baseOffset;
    } finally {
      frame.release();
    }
  }

  async produce(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.produceOne();
  }

  /** What was produced is there, from `offset` on, each once. */
  async check(offset = 0): Promise<void> {
    for (let next = offset; next < this.produced.length; ) {
      const { result, bytes } = await this.broker.fetch('t', 0, BigInt(next), { maxBytes: 1 << 20 });
      assert.equal(result.errorCode, 0, `offset ${next}`);
      for (let at = 0; at < bytes.byteLength; next++) {
        assert.equal(bytes.readBigInt64BE(at), BigInt(next));
        const size = bytes.readInt32BE(at + 8) + 12;
        const wanted = withoutPlace(this.produced[next]!);
        assert.ok(withoutPlace(bytes.subarray(at, at + size)).equals(wanted), `offset ${next}`);
        at += size;
      }
    }
    assert.equal(this.partition.log.logEndOffset, BigInt(this.produced.length));
  }

  /** Directories of the partition, wherever they are, as `<position>/<name>`; what is being deleted does not count. */
  found(): string[] {
    return this.directories.flatMap((directory, position) =>
      readdirSync(directory, { withFileTypes: true })
        .filter(
          (entry) => entry.isDirectory() && entry.name.startsWith('t-0') && !entry.name.endsWith('-delete'),
        )
        .map(({ name }) => `${position}/${name.replace(/\.[0-9a-f]{32}/, '')}`),
    );
  }

  files(): string[] {
    return readdirSync(this.partition.log.directory, { recursive: true, encoding: 'utf8' }).map((name) =>
      basename(name),
    );
  }

  async end(): Promise<void> {
    await this.broker.stop();
    rmSync(this.root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  }
}
