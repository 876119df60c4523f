import { open, rename, utimes } from 'node:fs/promises';
import { dirname } from 'node:path';
import { bucketUrl, S3_SCHEME, type S3Config } from '../../../../config/index.ts';
import type { RangeRead } from '../../../../native/listed-pieces.ts';
import type { Logger } from '../../../../util/logger.ts';
import type { PayloadFiles } from '../../ports.ts';
import { syncDirectory } from '../../small-files.ts';
import { COPY_SUFFIX, type FoundTierFile } from '../directories.ts';
import { type PathContents, TIER_PROPERTIES } from '../identity.ts';
import type { MigrationFiles } from '../migrator.ts';
import { BucketFile } from './bucket-file.ts';
import { isChecksumOf } from './checksums.ts';
import { parseObjectName, segmentPrefix } from './object-names.ts';
import { type ChecksumRange, ObjectError, type ObjectStore, type UploadedPart } from './objects.ts';
import { PendingRemovals } from './pending-removals.ts';
import { ReadWindows, type ReadWindowsOptions } from './read-windows.ts';
import { WorkerObjects } from './worker-objects.ts';

/** More parts an object cannot have. */
const PARTS_MAX = 10_000;
const PART_STEP_BYTES = 1 << 20;
/** A start waits no longer for an answer, so that what is local is served. */
const START_PATIENCE_MS = 2_000;
/** Of a segment's path whose object has to be looked for: the bucket could not be listed when it was needed. */
const UNLISTED = 'unlisted';

export interface BucketOptions {
  readonly config: S3Config;
  readonly files: ReadWindowsOptions['files'];
  readonly logger: Logger;
  /** A thread with the AWS SDK otherwise. */
  readonly objects?: ObjectStore;
}

/** An object that is being made, part by part. */
interface Upload {
  readonly key: string;
  readonly id: string;
  readonly parts: UploadedPart[];
  bytes: number;
}

/**
 * The bucket of the tier S3: complete payload segments as objects. Its paths begin with its URL, and what the tiers do with files it does
 * with objects.
 */
export class Bucket {
  /** Without a slash at its end. */
  readonly url: string;
  /** Told of each outage; while it is one, requests end with what this returns. */
  onOutage: (error: ObjectError) => void = () => {};
  outage: () => string | null = () => null;
  errors = 0;
  readonly windows: ReadWindows;
  readonly removals: PendingRemovals;
  readonly #config: S3Config;
  readonly #objects: ObjectStore;
  readonly #logger: Logger;
  /** By the path of the copy. */
  readonly #uploads = new Map<string, Upload>();
  /** Keys of objects that were looked for, by path. */
  readonly #resolved = new Map<string, string>();

  private constructor(options: BucketOptions, objects: ObjectStore, windows: ReadWindows) {
    this.#config = options.config;
    this.#objects = objects;
    this.#logger = options.logger;
    this.windows = windows;
    this.url = bucketUrl(options.config);
    this.removals = new PendingRemovals((prefix) => this.#removeAll(prefix), options.logger);
  }

  /** Takes the cache's directory; asks nothing of the object store. Rejects with an error for people. */
  static async open(options: BucketOptions): Promise<Bucket> {
    const { config, files } = options;
    const objects = options.objects ?? new WorkerObjects(config);
    const windows = await ReadWindows.open({
      directory: config.cacheDirectory,
      maxBytes: config.cacheBytes,
      readAheadBytes: config.readAheadBytes,
      connections: config.connections,
      files,
      download: (key, position, to) => objects.download(key, position, to),
    });
    return new Bucket(options, objects, windows);
  }

  /** Files of others, and objects where the path says so. */
  over(files: PayloadFiles): PayloadFiles {
    return {
      open: (path, options) =>
        isObject(path) ? Promise.resolve(new BucketFile(this, path)) : files.open(path, options),
      remove: (path) => (isObject(path) ? this.remove(path) : files.remove(path)),
      punch: (path, ranges) =>
        isObject(path)
          ? Promise.reject(
              new ObjectError('ENOTSUP', `${path} is an object, of which no part can be removed`),
            )
          : files.punch(path, ranges),
    };
  }

  /** As `over`, for what moves between tiers. */
  overMigration<F extends MigrationFiles>(files: F): F {
    return {
      ...files,
      remove: (path: string) => (isObject(path) ? this.remove(path) : files.remove(path)),
      copyRange: (from: string, to: string, position: number, length: number) => {
        if (isObject(to)) return this.#upload(from, to, position, length);
        return isObject(from)
          ? this.#download(from, to, position, length)
          : files.copyRange(from, to, position, length);
      },
      publishCopy: (from: string, copy: string, to: string) => {
        if (isObject(to)) return this.#completeUpload(copy, to);
        return isObject(from) ? publishDownload(from, copy, to) : files.publishCopy(from, copy, to);
      },
    };
  }

  /** How much of a file of this size is copied at a time. */
  stepBytes(bytes: number): number {
    const least = Math.ceil(bytes / PARTS_MAX / PART_STEP_BYTES) * PART_STEP_BYTES;
    return Math.max(this.#config.partBytes, least);
  }

  /** The path of a segment's object that has to be looked for when it is needed. */
  unlistedPath(partition: string, segmentId: number): string {
    return `${this.url}/${segmentPrefix(partition, segmentId)}${UNLISTED}`;
  }

  // What an object has

  async read(
    path: string,
    position: number,
    length: number,
    seed: number,
    expected: number | null = null,
  ): Promise<RangeRead> {
    const key = await this.#keyOf(path);
    return this.#ask(() => this.windows.read(key, position, length, seed, expected));
  }

  /** @throws ObjectError with `code` ENOENT when there is none */
  async size(path: string): Promise<number> {
    const key = await this.#keyOf(path);
    const info = await this.#ask(() => this.#objects.info(key));
    if (info === null) throw new ObjectError('ENOENT', `${path} is not there`);
    return info.bytes;
  }

  /** See `ObjectStore.checksums`. */
  async checksums(path: string, ranges: readonly ChecksumRange[]): Promise<(number | null)[]> {
    const key = await this.#keyOf(path);
    return this.#ask(() => this.#objects.checksums(key, ranges));
  }

  /** Paths of other objects of the same segment, such as an answer that got lost has left. */
  async othersOf(path: string): Promise<string[]> {
    const key = await this.#keyOf(path);
    const name = this.#nameOf(key);
    if (name === null) return [];
    const prefix = this.#config.prefix + segmentPrefix(name.partition, name.segmentId);
    const found = await this.#ask(() => this.#objects.list(prefix, ''));
    return found.flatMap((other) =>
      other.key === key ? [] : `${this.url}/${other.key.slice(this.#config.prefix.length)}`,
    );
  }

  /** Removes an object, all of a partition's when the path is its directory, or an unfinished upload; what cannot be removed now is later. */
  async remove(path: string): Promise<void> {
    if (path.endsWith(COPY_SUFFIX)) return this.#abort(path);
    const prefix = this.#prefixToRemove(path);
    this.#resolved.delete(path);
    this.windows.forget(prefix);
    if (this.outage() === null) await this.removals.remove(prefix);
    else this.removals.add(prefix);
  }

  /** One object's own key where it is known: another may be made of the same segment later. */
  #prefixToRemove(path: string): string {
    const key = this.#resolved.get(path) ?? this.#plainKey(path);
    if (key.endsWith(`.${UNLISTED}`)) return key.slice(0, -UNLISTED.length);
    return this.#nameOf(key) === null ? `${key}/` : key;
  }

  #nameOf(key: string) {
    return parseObjectName(key.slice(this.#config.prefix.length));
  }

  /** Who may not remove objects can still read and make them: a refusal is no outage. */
  async #removeAll(prefix: string): Promise<void> {
    const isOutage = (error: ObjectError) => error.isOutage && !error.isRefusal;
    await this.#ask(async () => {
      if (this.#nameOf(prefix) !== null) return this.#objects.remove(prefix);
      for (let after = ''; ; ) {
        const found = await this.#objects.list(prefix, after);
        if (found.length === 0) return;
        for (const { key } of found) await this.#objects.remove(key);
        after = found[found.length - 1]!.key;
      }
    }, isOutage);
  }

  // Moves

  async #upload(from: string, copy: string, position: number, length: number): Promise<number> {
    let upload = this.#uploads.get(copy);
    if (position === 0) {
      const key = this.#plainKey(copy.slice(0, -COPY_SUFFIX.length));
      const id = await this.#ask(() => this.#objects.beginUpload(key));
      upload = { key, id, parts: [], bytes: 0 };
      this.#uploads.set(copy, upload);
    }
    if (upload === undefined || upload.bytes !== position)
      throw new Error(`${copy} cannot be continued at ${position}`);
    const { key, id, parts } = upload;
    const number = parts.length + 1;
    parts.push(
      await this.#ask(() => this.#objects.uploadPart(key, id, number, { path: from, position, length })),
    );
    upload.bytes += length;
    return length;
  }

  /** The object is there when this resolves, with the size of the original, and the checksum of what was sent if the object store keeps that. */
  async #completeUpload(copy: string, path: string): Promise<void> {
    const upload = this.#uploads.get(copy);
    if (upload === undefined) throw new Error(`nothing was uploaded for ${path}`);
    const { key, id, parts, bytes } = upload;
    await this.#ask(() => this.#objects.completeUpload(key, id, parts));
    this.#uploads.delete(copy);
    const info = await this.#ask(() => this.#objects.info(key));
    if (info?.bytes !== bytes)
      throw new Error(`${path} has ${info?.bytes ?? 'no'} bytes after ${bytes} were uploaded`);
    if (info.crc32c !== null && !isChecksumOf(info.crc32c, parts))
      throw new Error(`${path} has the checksum ${info.crc32c}, which is not that of what was uploaded`);
  }

  /** Parts that cannot be removed now are by `abortUploads`. */
  async #abort(copy: string): Promise<void> {
    const upload = this.#uploads.get(copy);
    this.#uploads.delete(copy);
    if (upload === undefined || this.outage() !== null) return;
    await this.#ask(() => this.#objects.abortUpload(upload.key, upload.id)).catch((error: unknown) => {
      this.#logger.debug({ path: copy, err: error }, 'an upload could not be aborted');
    });
  }

  /** Forgets uploads that an interruption has left, and their parts. */
  async abortUploads(): Promise<void> {
    const own = new Set([...this.#uploads.values()].map(({ id }) => id));
    for (const { key, upload } of await this.#objects.uploads(this.#config.prefix)) {
      if (own.has(upload)) continue;
      this.#logger.info({ key }, 'removing the parts of an upload that was interrupted');
      await this.#objects.abortUpload(key, upload);
    }
  }

  async #download(from: string, to: string, position: number, length: number): Promise<number> {
    const key = await this.#keyOf(from);
    return this.#ask(() => this.#objects.download(key, position, { path: to, position, length }));
  }

  /** Credentials are looked for anew. */
  renew(): void {
    this.#objects.renew();
  }

  /** While the gateway starts: an object store that does not answer soon is away. */
  set isStarting(starting: boolean) {
    this.#objects.patienceMs = starting ? START_PATIENCE_MS : null;
  }

  // The bucket as a whole; while there is an outage, too

  /** What says whose the bucket is. */
  async contents(): Promise<PathContents> {
    const { prefix } = this.#config;
    const properties = await this.#objects.read(prefix + TIER_PROPERTIES);
    const names = (await this.#objects.list(prefix, '')).map(({ key }) => key.slice(prefix.length));
    return { names, properties: properties && Buffer.from(properties) };
  }

  writeProperties(bytes: Uint8Array): Promise<void> {
    return this.#objects.write(this.#config.prefix + TIER_PROPERTIES, bytes);
  }

  /** All payload in the bucket. */
  async scan(): Promise<FoundTierFile[]> {
    const { prefix } = this.#config;
    const found: FoundTierFile[] = [];
    for (let after = ''; ; ) {
      const page = await this.#objects.list(prefix, after);
      for (const { key, bytes } of page) {
        const name = this.#nameOf(key);
        if (name !== null) found.push({ ...name, bytes, path: `${this.url}/${key.slice(prefix.length)}` });
      }
      if (page.length === 0) return found;
      after = page[page.length - 1]!.key;
    }
  }

  /** The key of an object, which is looked for where its path does not say it. */
  async #keyOf(path: string): Promise<string> {
    if (!path.endsWith(`.${UNLISTED}`)) return this.#plainKey(path);
    const known = this.#resolved.get(path);
    if (known !== undefined) return known;
    const prefix = this.#plainKey(path).slice(0, -UNLISTED.length);
    // Of several the first: they are copies of one segment.
    const [found] = await this.#ask(() => this.#objects.list(prefix, ''));
    if (found === undefined) throw new ObjectError('ENOENT', `${path}: there is no such object`);
    this.#resolved.set(path, found.key);
    return found.key;
  }

  #plainKey(path: string): string {
    return this.#config.prefix + path.slice(this.url.length + 1);
  }

  async #ask<T>(action: () => Promise<T>, isOutage = (error: ObjectError) => error.isOutage): Promise<T> {
    const outage = this.outage();
    if (outage !== null) throw new ObjectError('EHOSTDOWN', outage);
    try {
      return await action();
    } catch (error) {
      if (error instanceof ObjectError) this.errors++;
      if (error instanceof ObjectError && isOutage(error)) this.onOutage(error);
      throw error;
    }
  }

  /** What is under way ends with errors; nothing is read any more. */
  stop(): void {
    this.#objects.stop();
    this.windows.clear();
  }

  close(): void {
    this.windows.close();
    this.#objects.close();
  }
}

function isObject(path: string): boolean {
  return path.startsWith(S3_SCHEME);
}

/** Makes a file that was downloaded durable under its name, with the time of change of the original. */
async function publishDownload(from: string, copy: string, to: string): Promise<void> {
  const name = parseObjectName(from.split('/').slice(-2).join('/'));
  if (name !== null) await utimes(copy, name.modifiedMs / 1000, name.modifiedMs / 1000);
  const file = await open(copy, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(copy, to);
  await syncDirectory(dirname(to));
}
