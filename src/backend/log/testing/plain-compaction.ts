import { dirname } from 'node:path';
import type { Cleaned, CleanTarget, Mapped, SourceSegment } from '../../../native/compaction.ts';
import { BATCH_HEADER_SIZE } from '../../../protocol/records/batch-header.ts';
import { RecordCursor, viewOf } from '../batch.ts';
import type { CompactionEngine, CompactionWork } from '../compaction/ports.ts';
import type { LogConfig } from '../config.ts';
import { parseOffsetFileName, Suffix } from '../log-file-names.ts';
import type { BatchInfo, FileSystem } from '../ports.ts';
import { SegmentIndexes } from '../segment-indexes.ts';

/**
 * Compaction over any file system, of batches of one keyed record without transactions, and without the native code: what it
 * leaves after power failures can be looked at.
 */
export function plainCompaction(fileSystem: FileSystem, config: LogConfig): CompactionEngine {
  return { compact: () => new PlainWork(fileSystem, config) };
}

class PlainWork implements CompactionWork {
  readonly #fileSystem: FileSystem;
  readonly #config: LogConfig;
  readonly #latest = new Map<string, bigint>();
  #stopped = false;

  constructor(fileSystem: FileSystem, config: LogConfig) {
    this.#fileSystem = fileSystem;
    this.#config = config;
  }

  async map(segments: readonly SourceSegment[], startOffset: bigint): Promise<Mapped> {
    for (const segment of segments)
      for (const { batch, key } of await this.#read(segment))
        if (batch.baseOffset >= startOffset) this.#latest.set(key, batch.baseOffset);
    return { endOffset: segments.at(-1)!.endOffset, bytesRead: 0, recordsRead: 0 };
  }

  setAborted(): void {}

  async clean(segments: readonly SourceSegment[], target: CleanTarget): Promise<Cleaned> {
    const found = (await Promise.all(segments.map((segment) => this.#read(segment)))).flat();
    const kept = found.filter(
      ({ batch, key }, index) =>
        batch.baseOffset >= (this.#latest.get(key) ?? -1n) || index === found.length - 1,
    );
    const indexes = new SegmentIndexes(target.baseOffset, this.#config);
    const file = await this.#fileSystem.open(`${target.stem}${Suffix.log}${Suffix.cleaned}`, {
      create: true,
    });
    for (const { batch, bytes } of kept) {
      if (this.#stopped) throw Object.assign(new Error('stopped'), { code: 'ECANCELED' });
      const { position, done } = file.append([bytes]);
      indexes.add({ ...batch, position }, target.indexIntervalBytes);
      await done;
    }
    await file.sync();
    await file.close();
    indexes.close();
    const index = (suffix: string) => `${target.stem}${suffix}${Suffix.cleaned}`;
    await this.#fileSystem.replaceFile(index(Suffix.offsetIndex), indexes.offset.content());
    await this.#fileSystem.replaceFile(index(Suffix.timeIndex), indexes.time.content());
    const recordsRead = found.length;
    return {
      size: file.size,
      bytesRead: 0,
      recordsRead,
      recordsKept: kept.length,
      aborted: [],
      released: [],
    };
  }

  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {}

  async #read({
    path,
    size,
  }: SourceSegment): Promise<{ batch: BatchInfo; key: string; bytes: Uint8Array }[]> {
    if (parseOffsetFileName(path.slice(dirname(path).length + 1)) === null)
      throw new Error(`not a segment: ${path}`);
    const file = await this.#fileSystem.open(path);
    const found: { batch: BatchInfo; key: string; bytes: Uint8Array }[] = [];
    for (let position = 0; position < size; ) {
      const scan = await this.#fileSystem.scanBatches(file, position, size, {
        maxBytes: size,
        verifyCrc: true,
      });
      if (scan.batches.length === 0) throw new Error(`${path} is damaged at ${position}`);
      for (const batch of scan.batches) {
        const bytes = (await file.read(batch.position, batch.sizeBytes)).bytes();
        const record = new RecordCursor(viewOf(bytes), BATCH_HEADER_SIZE, bytes.length).next();
        const key = Buffer.from(
          bytes.subarray(record.keyStart, record.keyStart + record.keyBytes),
        ).toString();
        found.push({ batch, key, bytes });
      }
      position = scan.end;
    }
    await file.close();
    return found;
  }
}
