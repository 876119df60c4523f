import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { filesBelow } from '../../src/util/testing/files-below.ts';
import { Child, until } from './child.ts';
import { installed } from './paths.ts';

const ACCESS = 'kafabric-tests';
const SECRET = 'only-for-tests';

/** An object store over a directory, with one bucket, which can be killed and started again. */
export class S3Server {
  static readonly setup = 's3-server';
  readonly bucket = 'payload';
  /** Of the AWS SDK. */
  readonly credentialsFile: string;
  readonly #dir: string;
  readonly port: number;
  #child: Child | null = null;

  private constructor(dir: string, port: number) {
    this.#dir = dir;
    this.port = port;
    this.credentialsFile = join(dir, 'credentials');
    for (const name of ['objects', 'metadata', 'iam']) mkdirSync(join(dir, name), { recursive: true });
    mkdirSync(join(dir, 'objects', this.bucket), { recursive: true });
    this.giveCredentials();
  }

  /** Writes the file of credentials; by default with those that it takes. */
  giveCredentials(access = ACCESS, secret = SECRET): void {
    writeFileSync(
      this.credentialsFile,
      `[default]\naws_access_key_id = ${access}\naws_secret_access_key = ${secret}\n`,
    );
  }

  /** Takes the bucket away, with all that it holds, or puts it back. */
  hideBucket(hidden: boolean): void {
    const places = [join(this.#dir, 'objects', this.bucket), join(this.#dir, 'hidden')] as const;
    if (hidden) renameSync(places[0], places[1]);
    else renameSync(places[1], places[0]);
  }

  /** One that serves. `dir`: for all that it has, made when it is not there. */
  static async start(dir: string): Promise<S3Server> {
    const server = new S3Server(dir, await freePort());
    await server.start();
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Of a gateway whose last tier is the bucket; small parts, and errors soon. */
  settings(cacheDir: string): Record<string, string> {
    return {
      'storage.s3.endpoint': this.endpoint,
      'storage.s3.bucket': this.bucket,
      'storage.s3.prefix': 'kafabric/node-1',
      'storage.s3.credentials.file': this.credentialsFile,
      'storage.s3.cache.dir': cacheDir,
      'storage.s3.part.bytes': '5242880',
      'storage.s3.max.attempts': '2',
      'storage.s3.request.timeout.ms': '20000',
    };
  }

  async start(): Promise<void> {
    const common = ['--access', ACCESS, '--secret', SECRET, '--port', `127.0.0.1:${this.port}`, '--quiet'];
    const child = new Child([
      join(installed, 's3-server/versitygw'),
      ...[...common, '--health', '/health', '--iam-dir', join(this.#dir, 'iam')],
      ...['posix', '--sidecar', join(this.#dir, 'metadata'), join(this.#dir, 'objects')],
    ]);
    this.#child = child;
    await until('the object store is ready', 60_000, async () => {
      if (!child.running) throw new Error(`the object store ended: ${child.output}`);
      return fetch(`${this.endpoint}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  }

  async kill(): Promise<void> {
    await this.#child?.kill('SIGKILL');
  }

  /** Stops it in its tracks, or lets it go on. */
  freeze(on: boolean): void {
    this.#child?.process.kill(on ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Payload files in the bucket, their bytes, and parts of uploads that are not completed and that clients can see. */
  contents(): { objects: string[]; bytes: number; parts: number } {
    const files = filesBelow(join(this.#dir, 'objects', this.bucket));
    const own = files.filter((path) => path.includes('.sgwtmp'));
    // The server hides uploads that it completes, and forgets those in which it is killed.
    const parts = own.filter((path) => !dirname(path).endsWith('.inprogress'));
    const objects = files.filter((path) => !path.includes('.sgwtmp') && path.endsWith('.payload'));
    const bytes = objects.reduce((sum, path) => sum + sizeOf(path), 0);
    return { objects: objects.map((path) => basename(path)), bytes, parts: parts.length };
  }
}

/** Of what is removed meanwhile: 0. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
