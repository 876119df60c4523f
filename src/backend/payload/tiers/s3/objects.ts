import { StoreError } from '../../stores/messages.ts';

export interface FoundObject {
  readonly key: string;
  readonly bytes: number;
}

export interface UploadedPart {
  readonly number: number;
  readonly etag: string;
  readonly bytes: number;
  readonly crc32c: number;
  /** The object store keeps the CRC-32C, which it has compared with what came. */
  readonly isKept: boolean;
}

export interface ObjectInfo {
  readonly bytes: number;
  /** As `isChecksumOf` takes it; null where the object store keeps none. */
  readonly crc32c: string | null;
}

/** A part of an object whose CRC-32C is asked for, which continues from `seed`. */
export interface ChecksumRange {
  readonly position: number;
  readonly length: number;
  readonly seed: number;
}

/** A part of a local file. */
export interface FileRange {
  readonly path: string;
  readonly position: number;
  readonly length: number;
}

/** What the tier uses of an object store. All of it rejects with `ObjectError` only. */
export interface ObjectStore {
  /** Requests that are not answered within so many milliseconds end with an outage, whatever their own time-outs are; null: with these. */
  patienceMs: number | null;
  /** The objects whose keys begin with `prefix`, in the order of their keys, behind `after`; a thousand at most. */
  list(prefix: string, after: string): Promise<FoundObject[]>;
  /** A small object; null when there is none. */
  read(key: string): Promise<Uint8Array | null>;
  write(key: string, bytes: Uint8Array): Promise<void>;
  /** Null when there is no such object. */
  info(key: string): Promise<ObjectInfo | null>;
  /** Removes an object; it may be gone already. */
  remove(key: string): Promise<void>;
  beginUpload(key: string): Promise<string>;
  /**
   * Resolves when the part is there as it was sent: by its CRC-32C, or by its MD5 where the object store keeps no CRC-32C and tells one.
   * `number`: from 1 on.
   */
  uploadPart(key: string, upload: string, number: number, from: FileRange): Promise<UploadedPart>;
  /** Makes the object of its parts: it is there as a whole or not at all. */
  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<void>;
  /** Forgets an upload and its parts; it may be gone already. */
  abortUpload(key: string, upload: string): Promise<void>;
  /** Uploads that were begun and neither completed nor aborted. */
  uploads(prefix: string): Promise<{ key: string; upload: string }[]>;
  /**
   * Writes a range of an object to the same length of a local file, which is created; resolves to its bytes, fewer at the end of the object.
   * @throws ObjectError with `code` ENOENT when there is no such object
   */
  download(key: string, position: number, to: FileRange): Promise<number>;
  /**
   * The CRC-32C of ranges of an object, which are ascending and do not overlap; null for those that the object has not as a whole. All of it from the
   * first to the last is read.
   * @throws ObjectError with `code` ENOENT when there is no such object
   */
  checksums(key: string, ranges: readonly ChecksumRange[]): Promise<(number | null)[]>;
  /** Credentials are looked for anew before the next request; what is under way ends with an error. */
  renew(): void;
  /** What is under way, and all that is asked from now on, ends with an error. */
  stop(): void;
  /** Gives back what it has. */
  close(): void;
}

/**
 * `code`: ENOENT: there is no such object; EHOSTDOWN: an outage; EREFUSED: it does not take the bucket, the region, the credentials or their rights;
 * ESHUTDOWN: stopped; EIO or one of the file system: this request only.
 */
export class ObjectError extends StoreError {
  /** Nothing can be expected of the object store until it answers again, or is asked with other settings. */
  get isOutage(): boolean {
    return this.code === 'EHOSTDOWN' || this.isRefusal;
  }

  /** Somebody has to change something. */
  get isRefusal(): boolean {
    return this.code === 'EREFUSED';
  }
}
