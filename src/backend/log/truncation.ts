import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';

/**
 * Ends a log's segments at `offset`: a batch that holds it goes as a whole. Nothing may be appending. Returns the log's end. `remove` takes segments
 * out, and what an attempt before could not.
 */
export async function truncateSegments(
  environment: LogEnvironment,
  directory: string,
  segments: SegmentList,
  config: LogConfig,
  offset: bigint,
  remove: (gone: readonly Segment[]) => Promise<void>,
): Promise<bigint> {
  if (offset < segments.first.baseOffset) {
    // Never without a segment, whose name says where the log is.
    const first = Segment.create(environment, directory, offset, config);
    await first.sync();
    const gone = segments.all;
    segments.reset(first);
    await remove(gone);
    return offset;
  }
  const gone = segments.all.slice(1).filter((segment) => segment.baseOffset >= offset);
  await remove(gone);
  return truncateActive(segments.active, config, offset);
}

async function truncateActive(active: Segment, config: LogConfig, offset: bigint): Promise<bigint> {
  const indexes = await active.indexes(config);
  indexes.truncateTo(offset);
  active.transactions.truncateTo(offset);
  const start = indexes.offset.lastPosition;
  active.activate(indexes);
  let nextOffset = active.baseOffset;
  for (let position = start; ; ) {
    const { batches, end } = await active.scan(position);
    const cut = batches.findIndex((batch) => batch.lastOffset >= offset);
    for (const batch of cut < 0 ? batches : batches.slice(0, cut)) {
      indexes.observe(batch);
      active.recent?.append(batch);
      nextOffset = batch.lastOffset + 1n;
    }
    if (cut >= 0 || batches.length === 0) {
      const size = cut < 0 ? end : batches[cut]!.position;
      await active.file.truncate(size);
      if (size === 0) active.firstTimestamp = null;
      // What went must not come back after a power failure, in front of what is appended next.
      await active.sync();
      return nextOffset;
    }
    position = end;
  }
}
