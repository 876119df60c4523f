import { mkdtempSync, rmSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { S3Config } from '../../../../config/index.ts';
import { crc32c } from '../../../../native/batch.ts';
import { Store } from '../../../../native/store.ts';
import { silentLogger } from '../../../../util/logger.ts';
import { Bucket } from './bucket.ts';
import { encodeCrc32c } from './checksums.ts';
import {
  type ChecksumRange,
  type FileRange,
  type FoundObject,
  ObjectError,
  type ObjectInfo,
  type ObjectStore,
  type UploadedPart,
} from './objects.ts';

/** An object store in memory, for tests: it can be down, lose what it is sent, and damage what it gives. */
export class MemoryObjects implements ObjectStore {
  readonly objects = new Map<string, Buffer>();
  readonly begun = new Map<string, { key: string; parts: Map<number, Buffer> }>();
  /** So many operations succeed before it is down. */
  upFor = Number.POSITIVE_INFINITY;
  /** Operations that it refuses, as for a client without the rights, or whose answers get lost after they were done. */
  refused: string | null = null;
  lost: string | null = null;
  /** So many downloads get another byte in front. */
  damagedDownloads = 0;
  /** So many downloads find the local disk full. */
  fullDownloads = 0;
  /** Checksums of objects, which it tells. */
  keepsChecksums = true;
  /** So many objects that are made of their parts are not what was sent. */
  damagedUploads = 0;
  /** Downloads wait for this. */
  gate: Promise<void> = Promise.resolve();
  patienceMs: number | null = null;
  renewals = 0;
  readonly downloads: { key: string; position: number; length: number }[] = [];
  /** Called before each operation. */
  onOperation: (operation: string) => void = () => {};
  #uploadId = 0;

  async #do<T>(operation: string, action: () => T | Promise<T>): Promise<T> {
    this.onOperation(operation);
    if (this.upFor-- <= 0) throw new ObjectError('EHOSTDOWN', `${operation}: down`);
    if (this.refused === operation) throw new ObjectError('EREFUSED', `${operation}: refused`);
    const value = await action();
    if (this.lost === operation) throw new ObjectError('EHOSTDOWN', `${operation}: no answer came`);
    return value;
  }

  damage(key: string): void {
    const object = this.objects.get(key)!;
    object.writeUInt8(object.readUInt8(500) ^ 1, 500);
  }

  list(prefix: string, after: string): Promise<FoundObject[]> {
    return this.#do('list', () =>
      [...this.objects]
        .filter(([key]) => key.startsWith(prefix) && key > after)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, 3) // pages are small, so that there are several
        .map(([key, { byteLength: bytes }]) => ({ key, bytes })),
    );
  }

  read(key: string): Promise<Uint8Array | null> {
    return this.#do('read', () => this.objects.get(key) ?? null);
  }

  write(key: string, bytes: Uint8Array): Promise<void> {
    return this.#do('write', () => void this.objects.set(key, Buffer.from(bytes)));
  }

  info(key: string): Promise<ObjectInfo | null> {
    return this.#do('info', () => {
      const object = this.objects.get(key);
      return object === undefined
        ? null
        : { bytes: object.byteLength, crc32c: this.keepsChecksums ? encodeCrc32c(crc32c(object)) : null };
    });
  }

  checksums(key: string, ranges: readonly ChecksumRange[]): Promise<(number | null)[]> {
    return this.#do('checksums', () => {
      const object = this.objects.get(key);
      if (object === undefined) throw new ObjectError('ENOENT', `${key}: there is no such object`);
      return ranges.map(({ position, length, seed }) =>
        position + length > object.byteLength
          ? null
          : crc32c(object.subarray(position, position + length), seed),
      );
    });
  }

  remove(key: string): Promise<void> {
    return this.#do('remove', () => void this.objects.delete(key));
  }

  beginUpload(key: string): Promise<string> {
    return this.#do('beginUpload', () => {
      const upload = String(++this.#uploadId);
      this.begun.set(upload, { key, parts: new Map() });
      return upload;
    });
  }

  uploadPart(key: string, upload: string, number: number, from: FileRange): Promise<UploadedPart> {
    return this.#do('uploadPart', async () => {
      const bytes = (await readFile(from.path)).subarray(from.position, from.position + from.length);
      if (bytes.byteLength !== from.length) throw new ObjectError('EIO', `${from.path} is too short`);
      this.#upload(key, upload).parts.set(number, bytes);
      const isKept = this.keepsChecksums;
      return { number, etag: `"${number}"`, bytes: from.length, crc32c: crc32c(bytes), isKept };
    });
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<void> {
    return this.#do('completeUpload', () => {
      const { parts: sent } = this.#upload(key, upload);
      this.objects.set(key, Buffer.concat(parts.map(({ number }) => sent.get(number)!)));
      if (this.damagedUploads-- > 0) this.damage(key);
      this.begun.delete(upload);
    });
  }

  #upload(key: string, upload: string) {
    const found = this.begun.get(upload);
    if (found?.key !== key) throw new ObjectError('ENOENT', 'there is no such upload');
    return found;
  }

  abortUpload(_key: string, upload: string): Promise<void> {
    return this.#do('abortUpload', () => void this.begun.delete(upload));
  }

  uploads(prefix: string): Promise<{ key: string; upload: string }[]> {
    return this.#do('uploads', () =>
      [...this.begun]
        .filter(([, { key }]) => key.startsWith(prefix))
        .map(([upload, { key }]) => ({ key, upload })),
    );
  }

  download(key: string, position: number, to: FileRange): Promise<number> {
    return this.#do('download', async () => {
      this.downloads.push({ key, position, length: to.length });
      await this.gate;
      const object = this.objects.get(key);
      if (object === undefined) throw new ObjectError('ENOENT', `${key}: there is no such object`);
      const bytes = Buffer.from(object.subarray(position, position + to.length));
      if (this.fullDownloads > 0) {
        this.fullDownloads--;
        throw new ObjectError('ENOSPC', `${to.path}: no space left on device`);
      }
      if (this.damagedDownloads > 0 && bytes.byteLength > 0) {
        this.damagedDownloads--;
        bytes[0]! ^= 1;
      }
      const file = await open(to.path, to.position === 0 ? 'w' : 'r+');
      try {
        await file.write(bytes, 0, bytes.byteLength, to.position);
      } finally {
        await file.close();
      }
      return bytes.byteLength;
    });
  }

  renew(): void {
    this.renewals++;
  }

  stop(): void {
    this.upFor = 0;
  }

  close(): void {}
}

export const S3_CONFIG: Omit<S3Config, 'cacheDirectory'> = {
  bucket: 'payload',
  prefix: 'here/',
  endpoint: '',
  region: '',
  forcePathStyle: false,
  credentialsFile: '',
  encryption: '',
  kmsKeyId: '',
  partBytes: 400_000,
  maxAttempts: 1,
  requestTimeoutMs: 1000,
  connections: 4,
  cacheBytes: 1 << 20,
  readAheadBytes: 1 << 20,
};

/** Buckets over object stores in memory, with one cache directory. */
export class TestBuckets {
  readonly directory = mkdtempSync(join(tmpdir(), 's3-cache-'));
  readonly files = new Store({ threads: 1 });

  open(objects: MemoryObjects, config: Partial<S3Config> = {}): Promise<Bucket> {
    objects.upFor = Number.POSITIVE_INFINITY;
    return Bucket.open({
      config: { ...S3_CONFIG, cacheDirectory: this.directory, ...config },
      files: this.files,
      logger: silentLogger,
      objects,
    });
  }

  async end(): Promise<void> {
    await this.files.shutdown();
    rmSync(this.directory, { recursive: true });
  }
}
