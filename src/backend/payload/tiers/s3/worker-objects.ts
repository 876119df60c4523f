import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { S3Config } from '../../../../config/index.ts';
import { installation } from '../../../../util/installation.ts';
import {
  type ChecksumRange,
  type FileRange,
  type FoundObject,
  ObjectError,
  type ObjectInfo,
  type ObjectStore,
  type UploadedPart,
} from './objects.ts';
import {
  type ObjectAnswer,
  type ObjectRequest,
  type Operation,
  type Patience,
  STOP,
} from './worker/messages.ts';

/** As a module by itself, also when the rest runs in the bundled program: only this thread loads the SDK. */
const PROGRAM = join(installation, 'dist/src/backend/payload/tiers/s3/worker/worker.js');
/** What the SDK would take credentials from before it looks into a file. */
const CREDENTIAL_VARIABLES = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];

interface Waiting {
  resolve(value: unknown): void;
  reject(error: ObjectError): void;
}

/** An object store in a thread of its own, which is begun with the first request, and anew if it ends by itself. */
export class WorkerObjects implements ObjectStore {
  readonly #config: S3Config;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #nextId = 1;
  #stopped = false;
  #patienceMs: number | null = null;

  constructor(config: S3Config) {
    this.#config = config;
  }

  get patienceMs(): number | null {
    return this.#patienceMs;
  }

  /** Counted from when the thread has loaded the SDK. */
  set patienceMs(patienceMs: number | null) {
    this.#patienceMs = patienceMs;
    this.#worker?.postMessage({ patienceMs } satisfies Patience);
  }

  #call<T>(operation: Operation, ...args: unknown[]): Promise<T> {
    if (this.#stopped) return Promise.reject(new ObjectError('ESHUTDOWN', 'the tier S3 is being closed'));
    const request: ObjectRequest = { id: this.#nextId++, operation, args };
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker ??= this.#start();
      this.#worker.postMessage(request);
    });
  }

  #start(): Worker {
    const worker = new Worker(PROGRAM, { workerData: this.#config, env: environment(this.#config) });
    worker.on('message', ({ id, value, error }: ObjectAnswer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new ObjectError(error.code, error.message));
    });
    let reason = 'it ended';
    worker.on('error', (error) => {
      reason = String(error);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#gone(reason);
    });
    if (this.#patienceMs !== null) worker.postMessage({ patienceMs: this.#patienceMs } satisfies Patience);
    return worker;
  }

  /** The thread is, with all that waits for it. */
  #gone(reason: string): void {
    this.#worker = null;
    for (const [id, { reject }] of this.#waiting) {
      this.#waiting.delete(id);
      const code = this.#stopped ? 'ESHUTDOWN' : 'EHOSTDOWN';
      reject(new ObjectError(code, `the thread of the object store is gone: ${reason}`));
    }
  }

  list(prefix: string, after: string): Promise<FoundObject[]> {
    return this.#call('list', prefix, after);
  }

  read(key: string): Promise<Uint8Array | null> {
    return this.#call('read', key);
  }

  write(key: string, bytes: Uint8Array): Promise<void> {
    return this.#call('write', key, bytes);
  }

  info(key: string): Promise<ObjectInfo | null> {
    return this.#call('info', key);
  }

  remove(key: string): Promise<void> {
    return this.#call('remove', key);
  }

  beginUpload(key: string): Promise<string> {
    return this.#call('beginUpload', key);
  }

  uploadPart(key: string, upload: string, number: number, from: FileRange): Promise<UploadedPart> {
    return this.#call('uploadPart', key, upload, number, from);
  }

  completeUpload(key: string, upload: string, parts: readonly UploadedPart[]): Promise<void> {
    return this.#call('completeUpload', key, upload, parts);
  }

  abortUpload(key: string, upload: string): Promise<void> {
    return this.#call('abortUpload', key, upload);
  }

  uploads(prefix: string): Promise<{ key: string; upload: string }[]> {
    return this.#call('uploads', prefix);
  }

  download(key: string, position: number, to: FileRange): Promise<number> {
    return this.#call('download', key, position, to);
  }

  checksums(key: string, ranges: readonly ChecksumRange[]): Promise<(number | null)[]> {
    return this.#call('checksums', key, ranges);
  }

  /** The SDK keeps what it has read of files: another thread reads them again. */
  renew(): void {
    if (this.#stopped) return;
    const worker = this.#worker;
    this.#gone('credentials are looked for anew');
    void worker?.terminate();
  }

  stop(): void {
    this.#stopped = true;
    this.#worker?.postMessage(STOP);
  }

  close(): void {
    this.#stopped = true;
    void this.#worker?.terminate();
  }
}

/** A file of credentials that is named in the settings comes before those of the environment. */
function environment({ credentialsFile }: S3Config): NodeJS.ProcessEnv {
  // The SDK's own hint at Node versions to come: which version of it is used is settled here.
  const common = { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };
  if (credentialsFile === '') return common;
  const own = Object.entries(common).filter(([name]) => !CREDENTIAL_VARIABLES.includes(name));
  return { ...Object.fromEntries(own), AWS_SHARED_CREDENTIALS_FILE: credentialsFile };
}
