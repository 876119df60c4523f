import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c } from '../../../native/batch.ts';
import { Codec, compress, decompress } from '../../../native/codec.ts';
import { Store } from '../../../native/store.ts';
import { Attribute, BatchHeader, CRC_COVERS_FROM } from '../../../protocol/records/batch-header.ts';
import { buildBatch } from '../../../protocol/records/builder.ts';
import {
  buildEndTransactionBatch,
  ControlType,
  controlType,
} from '../../../protocol/records/control-records.ts';
import { type RecordView, readRecords } from '../../../protocol/records/reader.ts';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { defaultLogConfig, type LogConfig } from '../config.ts';
import { LogManager } from '../log-manager.ts';
import type { PartitionLog } from '../partition-log.ts';
import { storeFileSystem } from '../store-file-system.ts';
import { readAll } from '../testing/log-fixture.ts';
import type { RoundStats } from './ports.ts';

export const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };

export interface KeyedRecord {
  readonly key: string | null;
  readonly value: string | null;
  readonly timestamp?: number;
}

export interface WriteOptions {
  readonly codec?: Codec;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly transactional?: boolean;
}

/** A record as a reader finds it. */
export interface FoundRecord extends KeyedRecord {
  readonly offset: bigint;
}

/** The log of one compacted partition on the disk, and time that stands still. */
export class CompactionFixture {
  readonly clock = new VirtualClock();
  readonly directory = mkdtempSync(join(tmpdir(), 'compaction-'));
  store = new Store({ threads: 2 });
  manager!: LogManager;
  log!: PartitionLog;
  config: LogConfig;
  readonly #locks: { release(): void }[] = [];

  constructor(config: Partial<LogConfig> = {}) {
    this.config = {
      ...defaultLogConfig,
      segmentBytes: 4096,
      segmentMs: 1000,
      indexIntervalBytes: 256,
      retentionMs: -1,
      fileDeleteDelayMs: 1000,
      cleanupDelete: false,
      cleanupCompact: true,
      minCleanableDirtyRatio: 0,
      deleteRetentionMs: 60_000,
      ...config,
    };
  }

  get path(): string {
    return join(this.directory, 't-0');
  }

  async open(): Promise<void> {
    const fileSystem = storeFileSystem(this.store);
    this.manager = new LogManager({
      fileSystem: {
        ...fileSystem,
        lockDirectory: (path) => {
          const lock = fileSystem.lockDirectory(path);
          this.#locks.push(lock);
          return lock;
        },
      },
      clock: this.clock,
      logger: silentLogger,
      directories: [this.directory],
      nodeId: 1,
      defaultConfig: this.config,
    });
    await this.manager.open();
    this.log = await this.manager.create('t', 0, { topicId: 'B4sB6MhZSGiyDvPbRqbsaw', config: this.config });
    this.configure({});
    this.log.becomeLeader(this.log.leaderEpoch + 1);
    this.log.highWatermark = this.log.writtenEndOffset;
  }

  configure(config: Partial<LogConfig>): void {
    this.config = { ...this.config, ...config };
    this.log.updateConfig(this.config);
  }

  async reopen(): Promise<void> {
    await this.manager.close();
    await this.open();
  }

  /** Leaves the files as they are, as a killed process does. */
  async crash(): Promise<void> {
    await this.log.compaction.stop();
    await this.store.shutdown();
    for (const lock of this.#locks) lock.release();
    this.clock.clear();
    this.store = new Store({ threads: 2 });
    await this.open();
  }

  /** The names of the partition's files that end so. */
  files(suffix: string): string[] {
    return readdirSync(this.path).filter((name) => name.endsWith(suffix));
  }

  async end(): Promise<void> {
    await this.manager?.close();
    await this.store.shutdown();
    rmSync(this.directory, { recursive: true });
  }

  /** Appends a batch; returns its base offset. */
  async write(records: readonly KeyedRecord[], options: WriteOptions = {}): Promise<bigint> {
    const { codec = Codec.NONE, producerId, producerEpoch, baseSequence, transactional } = options;
    const bytes = buildBatch(
      records.map(({ key, value, timestamp }) => ({
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        timestamp: BigInt(timestamp ?? this.clock.now()),
      })),
      {
        attributes: codec | (transactional ? Attribute.transactional : 0),
        ...(codec !== Codec.NONE && { compress: (section) => compress(codec, section) }),
        ...(producerId !== undefined && {
          producerId,
          producerEpoch: producerEpoch ?? 0,
          baseSequence: baseSequence ?? 0,
        }),
      },
    );
    return this.#append(bytes, 'client');
  }

  /** Ends a transaction. */
  endTransaction(outcome: 'commit' | 'abort', producerId: bigint, producerEpoch = 0): Promise<bigint> {
    const options = { timestamp: BigInt(this.clock.now()), producerId, producerEpoch };
    return this.#append(buildEndTransactionBatch(outcome, 0, options), 'coordinator');
  }

  async #append(bytes: Uint8Array, origin: 'client' | 'coordinator'): Promise<bigint> {
    const { baseOffset, written } = this.log.append(bytes, origin);
    await written;
    this.log.highWatermark = this.log.writtenEndOffset;
    return baseOffset;
  }

  /** Begins a new segment, by an append of a key that nothing else has; all before it can be compacted. */
  async roll(): Promise<void> {
    this.clock.tick(this.config.segmentMs + 1);
    await this.write([{ key: `roll ${this.log.logEndOffset}`, value: '' }]);
  }

  /** Compacts all that can be. */
  async compact(settings = ROUND): Promise<RoundStats> {
    return this.log.compaction.run(this.store, settings);
  }

  /** Every batch that is in the log, checked: CRC, order, records. */
  async batches(): Promise<{ header: BatchHeader; records: RecordView[] }[]> {
    let next = this.log.logStartOffset;
    return (await readAll(this.log)).map(({ bytes, baseOffset, lastOffset }) => {
      const header = new BatchHeader(bytes);
      if (crc32c(bytes.subarray(CRC_COVERS_FROM)) !== header.crc)
        throw new Error(`wrong CRC at ${baseOffset}`);
      if (baseOffset < next) throw new Error(`offset ${baseOffset} where ${next} is due`);
      next = lastOffset + 1n;
      return {
        header,
        records: readRecords(bytes, (codec, section) => decompress(codec as Codec, section, 1 << 28)),
      };
    });
  }

  /** What a read_committed consumer gets. */
  async read(): Promise<FoundRecord[]> {
    const { log } = this;
    const waiting = log.abortedTransactions(log.logStartOffset, log.logEndOffset);
    const end = log.firstUnstableOffset ?? log.highWatermark;
    const aborted = new Set<bigint>();
    const found: FoundRecord[] = [];
    for (const { header, records } of await this.batches()) {
      const { baseOffset, producerId, attributes } = header;
      if (baseOffset >= end) break;
      for (; waiting[0] && waiting[0].firstOffset <= header.lastOffset; waiting.shift())
        aborted.add(waiting[0].producerId);
      if (header.isControl) {
        const [record] = records;
        if (record && controlType(record.key!) === ControlType.abort) aborted.delete(producerId);
        continue;
      }
      if (attributes & Attribute.transactional && aborted.has(producerId)) continue;
      for (const { offset, key, value, timestamp } of records)
        found.push({ offset, key: textOf(key), value: textOf(value), timestamp: Number(timestamp) });
    }
    return found;
  }

  /** What a reader finds, as text; without the records that only made a segment end. */
  async texts(): Promise<string[]> {
    const found = (await this.read()).filter(({ key }) => !key?.startsWith('roll'));
    return found.map(({ offset, key, value }) => `${offset} ${key}=${value}`);
  }
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString();
}
