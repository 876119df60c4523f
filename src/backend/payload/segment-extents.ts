import { deadRanges } from './dead-ranges.ts';
import type { ExtentLists } from './extent-lists.ts';
import {
  type Extent,
  type ExtentSummary,
  findExtent,
  readExtents,
  summarize,
  writeExtents,
} from './extents.ts';
import { removeFile } from './small-files.ts';

function endOf(extents: readonly Extent[]): number {
  const last = extents[extents.length - 1];
  return last === undefined ? 0 : last.position + last.length;
}

/** The extents of a segment, and what of them is live: in memory while it grows, in a list on disk, beside the others of its partition, afterwards. */
export class SegmentExtents {
  #path: string;
  readonly #lists: ExtentLists;
  /** In the order of offsets; null when they are on disk only. */
  #extents: Extent[] | null;
  #summary: ExtentSummary;
  #deadBefore = 0n;
  #liveBytes: number;

  private constructor(path: string, lists: ExtentLists, extents: Extent[] | null, summary: ExtentSummary) {
    this.#path = path;
    this.#lists = lists;
    this.#extents = extents;
    this.#summary = summary;
    this.#liveBytes = summary.extentBytes;
  }

  /** Of a segment whose list is yet to be written. */
  static known(path: string, lists: ExtentLists, extents: Extent[]): SegmentExtents {
    return new SegmentExtents(path, lists, extents, summarize(extents, endOf(extents)));
  }

  /** Of a segment whose list was found to be good. */
  static listed(path: string, lists: ExtentLists, summary: ExtentSummary): SegmentExtents {
    return new SegmentExtents(path, lists, null, summary);
  }

  /** Of the list. */
  get path(): string {
    return this.#path;
  }

  /** They are on disk, durably, and no more come. */
  get isListed(): boolean {
    return this.#extents === null;
  }

  get summary(): Readonly<ExtentSummary> {
    return this.#summary;
  }

  /** Bytes that records at or after the log start refer to. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** What records below this refer to is dead. */
  get deadBefore(): bigint {
    return this.#deadBefore;
  }

  /** Where the last of them ends, while they are not listed. */
  get end(): number {
    return endOf(this.#extents ?? []);
  }

  /** The file has so many bytes by now. */
  resized(bytes: number): void {
    this.#summary.bytes = bytes;
  }

  /** So many bytes of the file take no space any more. */
  freed(bytes: number): void {
    this.#summary.freedBytes = bytes;
  }

  add(extent: Extent): void {
    const summary = this.#summary;
    if (summary.count === 0) summary.firstOffset = extent.baseOffset;
    summary.count++;
    summary.lastOffset = extent.lastOffset;
    summary.extentBytes += extent.length;
    this.#liveBytes += extent.length;
    this.#extents!.push(extent);
  }

  /** All of them; null when there is no good list. Rejects when it cannot be read now. */
  async all(): Promise<readonly Extent[] | null> {
    return this.#extents ?? (await readExtents(this.#path));
  }

  /** Parts of the file of which its list says that nobody may read them any more: position and length of each. */
  async holes(): Promise<Float64Array> {
    const listed = await readExtents(this.#path);
    return listed === null ? new Float64Array(0) : deadRanges(listed, this.#summary.bytes);
  }

  /** Writes the list: no more come. */
  async complete(): Promise<void> {
    if (this.#extents === null) return;
    await this.#write(this.#extents);
    this.#extents = null;
  }

  /** Counts the bytes that records at or after `offset` refer to; earlier ones are gone. */
  async countLiveFrom(offset: bigint): Promise<void> {
    if (offset <= this.#deadBefore || offset <= this.#summary.firstOffset) return;
    const extents = await this.all();
    this.#deadBefore = offset;
    if (extents !== null) this.#countLive(extents);
  }

  /** Forgets those to which nothing refers any more, also on disk. Not while the segment is being completed. */
  async drop(isDead: (extent: Extent) => boolean): Promise<void> {
    const extents = await this.all();
    if (extents === null) return;
    const live = extents.filter((extent) => !isDead(extent));
    if (live.length === extents.length) return;
    // Without any the segment goes as a whole.
    if (this.#extents === null && live.length > 0) await this.#write(live);
    this.#have(live);
  }

  /** Of a list on disk only these are left. */
  async keep(live: readonly Extent[]): Promise<void> {
    await this.#write(live);
    this.#have(live);
  }

  #have(extents: readonly Extent[]): void {
    const { bytes, freedBytes } = this.#summary;
    if (this.#extents !== null) this.#extents = [...extents];
    this.#summary = summarize(extents, bytes, freedBytes);
    this.#countLive(extents);
  }

  #countLive(extents: readonly Extent[]): void {
    this.#liveBytes = 0;
    for (const { lastOffset, length } of extents)
      if (lastOffset >= this.#deadBefore) this.#liveBytes += length;
  }

  async #write(extents: readonly Extent[]): Promise<void> {
    const { bytes, freedBytes } = this.#summary;
    await writeExtents(this.#path, extents, bytes, freedBytes);
    this.#lists.forget(this.#path);
  }

  /** See Extent; null when they are not known. */
  async pieceCrcs(position: number, length: number): Promise<Uint32Array | null> {
    const extent =
      this.#extents === null
        ? (await this.#lists.get(this.#path))?.find(position)
        : findExtent(this.#extents, position);
    return extent?.length === length ? (extent.pieceCrcs ?? null) : null;
  }

  /** The list is at another path now. */
  relocated(path: string): void {
    this.#lists.forget(this.#path);
    this.#path = path;
  }

  /** Removes the list. */
  async remove(): Promise<void> {
    this.#lists.forget(this.#path);
    await removeFile(this.#path);
  }
}
