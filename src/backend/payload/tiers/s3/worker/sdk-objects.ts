import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
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
import {
  type FileRange,
  type FoundObject,
  ObjectError,
  type ObjectStore,
  type UploadedPart,
} from '../objects.ts';
import { objectError } from './sdk-errors.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const SMALL_BYTES = 64 << 10;

/** A bucket by the AWS SDK; for a thread of its own, because payload goes through its memory. */
export class SdkObjects implements ObjectStore {
  readonly #client: S3Client;
  readonly #config: S3Config;
  readonly #stopped = new AbortController();

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
    try {
      if (this.#stopped.signal.aborted) throw new ObjectError('ESHUTDOWN', 'the tier is being closed');
      return await action({ abortSignal: this.#stopped.signal });
    } catch (error) {
      if (error instanceof BrokenOff) throw error;
      throw objectError(error, `s3://${this.#bucket}/${key}`, this.#stopped.signal.aborted);
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

  async size(key: string): Promise<number | null> {
    try {
      return await this.#ask(key, async (options) => {
        const head = await this.#client.send(
          new HeadObjectCommand({ Bucket: this.#bucket, Key: key }),
          options,
        );
        return head.ContentLength ?? null;
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
          ChecksumAlgorithm: 'CRC32',
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
      const { ETag, ChecksumCRC32 } = await this.#client.send(
        new UploadPartCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: upload,
          PartNumber: number,
          Body: part,
          ContentLength: part.byteLength,
          ChecksumAlgorithm: 'CRC32',
        }),
        options,
      );
      return { number, etag: ETag!, crc32: ChecksumCRC32 ?? null };
    });
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<void> {
    return this.#ask(key, async (options) => {
      const Parts = parts.map(({ number, etag, crc32 }) => ({
        PartNumber: number,
        ETag: etag,
        ...(crc32 !== null && { ChecksumCRC32: crc32 }),
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
      let written = 0;
      // The SDK's attempts end when an answer begins: one that breaks off is continued here.
      for (let attempt = 1; ; attempt++) {
        try {
          const length = to.length - written;
          written += await this.#ask(key, (options) =>
            this.#receive(
              { key, position: position + written },
              file,
              { path: to.path, position: to.position + written, length },
              options,
            ),
          );
          return written;
        } catch (error) {
          if (!(error instanceof BrokenOff)) throw error;
          written += error.written;
          if (written === to.length) return written;
          if (attempt >= this.#config.maxAttempts)
            throw objectError(error.cause, `s3://${this.#bucket}/${key}`, this.#stopped.signal.aborted);
        }
      }
    } finally {
      await file.close();
    }
  }

  /** Resolves to the bytes that were received: fewer than asked for at the end of the object, none behind it. */
  async #receive(
    { key, position }: { key: string; position: number },
    file: FileHandle,
    to: FileRange,
    options: { abortSignal: AbortSignal },
  ): Promise<number> {
    const { Body, ContentLength } = await this.#client
      .send(
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          Range: `bytes=${position}-${position + to.length - 1}`,
        }),
        options,
      )
      .catch((error: unknown) => {
        if ((error as Error).name === 'InvalidRange') return { Body: undefined, ContentLength: 0 };
        throw error;
      });
    if (Body === undefined) return 0;
    if (ContentLength === undefined || ContentLength > to.length) {
      (Body as Readable).destroy();
      throw new ObjectError('EIO', `${ContentLength} bytes came where ${to.length} were asked for`);
    }
    let written = 0;
    try {
      for await (const chunk of Body as Readable) {
        if (written + chunk.byteLength > ContentLength)
          throw new Error('more bytes came than were announced');
        await writeAll(to.path, file, chunk, to.position + written);
        written += chunk.byteLength;
      }
      if (written < ContentLength) throw new Error('the answer broke off');
    } catch (cause) {
      if (cause instanceof ObjectError || options.abortSignal.aborted) throw cause;
      throw new BrokenOff(written, cause);
    }
    return written;
  }

  stop(): void {
    this.#stopped.abort();
  }

  close(): void {
    this.stop();
    this.#client.destroy();
  }
}

/** An answer that ended too early, after so many bytes. */
class BrokenOff extends Error {
  readonly written: number;

  constructor(written: number, cause: unknown) {
    super('an answer broke off', { cause });
    this.written = written;
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
