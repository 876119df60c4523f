import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Config } from '../../../../../config/index.ts';
import { crc32c } from '../../../../../native/batch.ts';
import { encodeCrc32c } from '../checksums.ts';
import {
  type ChecksumRange,
  type FileRange,
  type FoundObject,
  ObjectError,
  type ObjectInfo,
  type ObjectStore,
  type UploadedPart,
} from '../objects.ts';
import { RangeDigest } from './range-digest.ts';
import { objectError } from './sdk-errors.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const SMALL_BYTES = 64 << 10;
/** Before an answer that broke off is continued. */
const PAUSE_MS = 50;
const PAUSE_MAX_MS = 5_000;

/** A bucket by the AWS SDK; for a thread of its own, because payload goes through its memory. */
export class SdkObjects implements Omit<ObjectStore, 'renew'> {
  readonly #client: S3Client;
  readonly #config: S3Config;
  readonly #stopped = new AbortController();
  patienceMs: number | null = null;

  constructor(config: S3Config) {
    const { endpoint, region, forcePathStyle, maxAttempts, requestTimeoutMs, connections } = config;
    this.#config = config;
    this.#client = new S3Client({
      ...(endpoint !== '' && { endpoint }),
      ...(region !== '' && { region }),
      forcePathStyle,
      maxAttempts,
      requestHandler: {
        connectionTimeout: Math.min(CONNECT_TIMEOUT_MS, requestTimeoutMs),
        socketTimeout: requestTimeoutMs,
        httpAgent: { keepAlive: true, maxSockets: 2 * connections },
        httpsAgent: { keepAlive: true, maxSockets: 2 * connections },
      },
    });
  }

  get #bucket(): string {
    return this.#config.bucket;
  }

  get #encryption() {
    const { encryption, kmsKeyId } = this.#config;
    return {
      ...(encryption !== '' && { ServerSideEncryption: encryption }),
      ...(kmsKeyId !== '' && { SSEKMSKeyId: kmsKeyId }),
    };
  }

  /** Names the object in what goes wrong. */
  async #ask<T>(key: string, action: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> {
    const { patienceMs } = this;
    const stopped = this.#stopped.signal;
    const late = patienceMs === null ? null : AbortSignal.timeout(patienceMs);
    try {
      if (stopped.aborted) throw new ObjectError('ESHUTDOWN', 'the tier is being closed');
      return await action({ abortSignal: late === null ? stopped : AbortSignal.any([stopped, late]) });
    } catch (error) {
      if (error instanceof BrokenOff) throw error;
      const isLate = late?.aborted === true && !stopped.aborted;
      const reason = isLate ? new ObjectError('EHOSTDOWN', `no answer within ${patienceMs} ms`) : error;
      throw objectError(reason, `s3://${this.#bucket}/${key}`, stopped.aborted);
    }
  }

  list(prefix: string, after: string): Promise<FoundObject[]> {
    return this.#ask(prefix, async (options) => {
      const { Contents = [] } = await this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: prefix,
          ...(after !== '' && { StartAfter: after }),
        }),
        options,
      );
      return Contents.map(({ Key, Size }) => ({ key: Key!, bytes: Size! }));
    });
  }

  async read(key: string): Promise<Uint8Array | null> {
    try {
      return await this.#ask(key, async (options) => {
        const range = `bytes=0-${SMALL_BYTES - 1}`;
        const found = await this.#client.send(
          new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range: range }),
          options,
        );
        if (found.ContentLength === undefined || found.ContentLength > SMALL_BYTES) {
          (found.Body as Readable).destroy();
          throw new ObjectError(
            'EIO',
            `${found.ContentLength} bytes, where ${SMALL_BYTES} at most were asked for`,
          );
        }
        return await found.Body!.transformToByteArray();
      });
    } catch (error) {
      if (error instanceof ObjectError && error.code === 'ENOENT') return null;
      throw error;
    }
  }

  write(key: string, bytes: Uint8Array): Promise<void> {
    return this.#ask(key, async (options) => {
      await this.#client.send(
        new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: bytes, ...this.#encryption }),
        options,
      );
    });
  }

  async info(key: string): Promise<ObjectInfo | null> {
    try {
      return await this.#ask(key, async (options) => {
        const head = new HeadObjectCommand({ Bucket: this.#bucket, Key: key, ChecksumMode: 'ENABLED' });
        const { ContentLength, ChecksumCRC32C } = await this.#client.send(head, options);
        return ContentLength === undefined ? null : { bytes: ContentLength, crc32c: ChecksumCRC32C ?? null };
      });
    } catch (error) {
      if (error instanceof ObjectError && error.code === 'ENOENT') return null;
      throw error;
    }
  }

  remove(key: string): Promise<void> {
    return this.#ask(key, async (options) => {
      await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }), options);
    });
  }

  beginUpload(key: string): Promise<string> {
    return this.#ask(key, async (options) => {
      const { UploadId } = await this.#client.send(
        new CreateMultipartUploadCommand({
          Bucket: this.#bucket,
          Key: key,
          ChecksumAlgorithm: 'CRC32C',
          ...this.#encryption,
        }),
        options,
      );
      return UploadId!;
    });
  }

  uploadPart(key: string, upload: string, number: number, from: FileRange): Promise<UploadedPart> {
    return this.#ask(key, async (options) => {
      const part = await readRange(from);
      const crc = crc32c(part);
      const checksum = encodeCrc32c(crc);
      const sent = await this.#client.send(
        new UploadPartCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: upload,
          PartNumber: number,
          Body: part,
          ContentLength: part.byteLength,
          ChecksumCRC32C: checksum,
        }),
        options,
      );
      const isKept = sent.ChecksumCRC32C !== undefined;
      const arrived = isKept ? sent.ChecksumCRC32C === checksum : this.#isEtagOf(sent.ETag!, part);
      if (!arrived) throw new ObjectError('EIO', `part ${number} arrived as something else than was sent`);
      return { number, etag: sent.ETag!, bytes: part.byteLength, crc32c: crc, isKept };
    });
  }

  /** The tag is the MD5 of a part where nothing was said about keys; other tags say nothing. */
  #isEtagOf(etag: string, part: Buffer): boolean {
    const [, tag] = /^"?([0-9a-f]{32})"?$/.exec(etag) ?? [];
    if (tag === undefined || this.#config.encryption.startsWith('aws:kms')) return true;
    return tag === createHash('md5').update(part).digest('hex');
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<void> {
    return this.#ask(key, async (options) => {
      const Parts = parts.map(({ number, etag, crc32c, isKept }) => ({
        PartNumber: number,
        ETag: etag,
        ...(isKept && { ChecksumCRC32C: encodeCrc32c(crc32c) }),
      }));
      await this.#client.send(
        new CompleteMultipartUploadCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: upload,
          MultipartUpload: { Parts },
        }),
        options,
      );
    });
  }

  async abortUpload(key: string, upload: string): Promise<void> {
    try {
      await this.#ask(key, (options) =>
        this.#client.send(
          new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: upload }),
          options,
        ),
      );
    } catch (error) {
      if (!(error instanceof ObjectError) || error.code !== 'ENOENT') throw error;
    }
  }

  uploads(prefix: string): Promise<{ key: string; upload: string }[]> {
    return this.#ask(prefix, async (options) => {
      const found: { key: string; upload: string }[] = [];
      let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
      for (;;) {
        const page = await this.#client.send(
          new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: prefix, ...marker }),
          options,
        );
        for (const { Key, UploadId } of page.Uploads ?? []) found.push({ key: Key!, upload: UploadId! });
        if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return found;
        marker = {
          KeyMarker: page.NextKeyMarker,
          ...(page.NextUploadIdMarker !== undefined && { UploadIdMarker: page.NextUploadIdMarker }),
        };
      }
    });
  }

  async download(key: string, position: number, to: FileRange): Promise<number> {
    const file = await this.#ask(key, () => openLocal(to.path));
    try {
      return await this.#receive(key, position, to.length, (chunk, at) =>
        writeAll(to.path, file, chunk, to.position + at),
      );
    } finally {
      await file.close();
    }
  }

  async checksums(key: string, ranges: readonly ChecksumRange[]): Promise<(number | null)[]> {
    const start = ranges[0]!.position;
    const last = ranges[ranges.length - 1]!;
    const digest = new RangeDigest(ranges);
    await this.#receive(key, start, last.position + last.length - start, (chunk, at) =>
      digest.update(chunk, start + at),
    );
    return digest.results;
  }

  /** Gives out a range of an object in order. Resolves to its bytes: fewer than asked for at the end of the object, none behind it. */
  async #receive(key: string, position: number, length: number, take: Take): Promise<number> {
    let received = 0;
    // The SDK's attempts end when an answer begins: one that breaks off is continued here.
    for (let attempt = 1; ; attempt++) {
      try {
        const before = received;
        const rest = await this.#ask(key, (options) =>
          this.#receiveOnce(
            { key, position: position + before, length: length - before },
            (chunk, at) => take(chunk, before + at),
            options,
          ),
        );
        return received + rest;
      } catch (error) {
        if (!(error instanceof BrokenOff)) throw error;
        received += error.received;
        if (received === length) return received;
        if (attempt >= this.#config.maxAttempts)
          throw objectError(error.cause, `s3://${this.#bucket}/${key}`, this.#stopped.signal.aborted);
        await this.#ask(key, ({ abortSignal: signal }) =>
          setTimeout(pauseMs(attempt), undefined, { signal }),
        );
      }
    }
  }

  async #receiveOnce(
    { key, position, length }: { key: string; position: number; length: number },
    take: Take,
    options: { abortSignal: AbortSignal },
  ): Promise<number> {
    const range = `bytes=${position}-${position + length - 1}`;
    const { Body, ContentLength } = await this.#client
      .send(new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range: range }), options)
      .catch((error: unknown) => {
        if ((error as Error).name === 'InvalidRange') return { Body: undefined, ContentLength: 0 };
        throw error;
      });
    if (Body === undefined) return 0;
    if (ContentLength === undefined || ContentLength > length) {
      (Body as Readable).destroy();
      throw new ObjectError('EIO', `${ContentLength} bytes came where ${length} were asked for`);
    }
    let received = 0;
    try {
      for await (const chunk of Body as Readable) {
        if (received + chunk.byteLength > ContentLength)
          throw new Error('more bytes came than were announced');
        await take(chunk, received);
        received += chunk.byteLength;
      }
      if (received < ContentLength) throw new Error('the answer broke off');
    } catch (cause) {
      if (cause instanceof ObjectError || options.abortSignal.aborted) throw cause;
      throw new BrokenOff(received, cause);
    }
    return received;
  }

  stop(): void {
    this.#stopped.abort();
  }

  close(): void {
    this.stop();
    this.#client.destroy();
  }
}

/** As the SDK does between its own attempts: at random, up to a limit that doubles. */
function pauseMs(attempt: number): number {
  return Math.random() * Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** attempt);
}

/** Takes bytes that are so far from where a range begins. */
type Take = (chunk: Uint8Array, at: number) => Promise<void> | void;

/** An answer that ended too early, after so many bytes. */
class BrokenOff extends Error {
  readonly received: number;

  constructor(received: number, cause: unknown) {
    super('an answer broke off', { cause });
    this.received = received;
  }
}

function openLocal(path: string): Promise<FileHandle> {
  // Without truncating: a copy is made in steps.
  return open(path, 'r+')
    .catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return open(path, 'wx+');
      throw error;
    })
    .catch((error: unknown) => failLocally(path, error));
}

async function readRange({ path, position, length }: FileRange): Promise<Buffer> {
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'r');
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(bytes, done, length - done, position + done);
      if (bytesRead === 0) throw new Error(`it ends at ${position + done}`);
      done += bytesRead;
    }
    return bytes;
  } catch (error) {
    return failLocally(path, error);
  } finally {
    await file?.close();
  }
}

async function writeAll(path: string, file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  try {
    for (let done = 0; done < bytes.byteLength; ) {
      const left = bytes.byteLength - done;
      done += (await file.write(bytes, done, left, position + done)).bytesWritten;
    }
  } catch (error) {
    failLocally(path, error);
  }
}

/** What fails at a local file says nothing about the object store. */
function failLocally(path: string, error: unknown): never {
  const { code = 'EIO', message } = error as NodeJS.ErrnoException;
  throw new ObjectError(code === 'ENOENT' ? 'EIO' : code, `${path}: ${message}`);
}
