import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3_CONFIG } from '../testing.ts';
import { SdkObjects } from './sdk-objects.ts';

const CONTENT = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));

describe('SdkObjects', () => {
  let directory: string;
  let server: Server;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let asked: string[];
  let objects: SdkObjects;
  const before = { ...process.env };

  beforeEach(async () => {
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 'b',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    });
    directory = mkdtempSync(join(tmpdir(), 'sdk-objects-'));
    asked = [];
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url!.split('?')[0]} ${request.headers.range ?? ''}`.trim());
      request.resume();
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    objects = new SdkObjects({
      ...S3_CONFIG,
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      cacheDirectory: directory,
      maxAttempts: 2,
      requestTimeoutMs: 30_000,
    });
  });
  afterEach(async () => {
    objects.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
    for (const name of [
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
      'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED',
    ])
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
  });

  const refuse = (status: number, code: string) => (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
  };

  /** Gives what is asked for, or breaks off after so many bytes of it. */
  const give =
    (breakOffAfter = Number.POSITIVE_INFINITY) =>
    ({ headers }: IncomingMessage, response: ServerResponse) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range!)!;
      const part = CONTENT.subarray(Number(first), Number(last) + 1);
      response.writeHead(206, { 'content-length': part.byteLength });
      if (part.byteLength <= breakOffAfter) response.end(part);
      else response.write(part.subarray(0, breakOffAfter), () => response.destroy());
    };

  it('writes a range of an object into a file, where it is to be', async () => {
    const path = join(directory, 'copy');
    writeFileSync(path, 'before');
    answer = give();
    assert.equal(await objects.download('x', 1000, { path, position: 6, length: 5000 }), 5000);
    assert.deepEqual(
      readFileSync(path),
      Buffer.concat([Buffer.from('before'), CONTENT.subarray(1000, 6000)]),
    );
    assert.deepEqual(asked, ['GET /payload/x bytes=1000-5999']);
    assert.equal(await objects.download('x', 99_000, { path, position: 0, length: 5000 }), 1000);
    answer = refuse(416, 'InvalidRange');
    assert.equal(await objects.download('x', 100_000, { path, position: 0, length: 1 }), 0);
  });

  it('goes on where an answer broke off, and gives up after so many attempts', async () => {
    const path = join(directory, 'copy');
    answer = (request, response) => give(asked.length === 1 ? 30_000 : undefined)(request, response);
    assert.equal(await objects.download('x', 0, { path, position: 0, length: 100_000 }), 100_000);
    assert.ok(readFileSync(path).equals(CONTENT));
    assert.equal(asked.length, 2);
    assert.match(asked[1]!, /bytes=\d+-99999$/);
    answer = give(10);
    await assert.rejects(objects.download('x', 0, { path, position: 0, length: 100_000 }), {
      code: 'EHOSTDOWN',
    });
  });

  it('takes nothing from who gives more than was asked for', async () => {
    answer = (_, response) => response.writeHead(200, { 'content-length': CONTENT.byteLength }).end(CONTENT);
    const path = join(directory, 'copy');
    await assert.rejects(objects.download('x', 0, { path, position: 0, length: 10 }), {
      code: 'EIO',
      message: /^s3:\/\/payload\/x: 100000 bytes came where 10/,
    });
  });

  it('tells what is about an object from what is about the object store', async () => {
    const path = join(directory, 'copy');
    const get = () => objects.download('x', 0, { path, position: 0, length: 10 });
    answer = refuse(404, 'NoSuchKey');
    await assert.rejects(get(), { code: 'ENOENT', message: /^s3:\/\/payload\/x: NoSuchKey/ });
    assert.equal(await objects.read('x'), null);
    answer = (_, response) => response.writeHead(404).end();
    assert.equal(await objects.size('x'), null);
    answer = refuse(404, 'NoSuchBucket');
    await assert.rejects(get(), { code: 'EHOSTDOWN', message: /NoSuchBucket/ });
    await assert.rejects(objects.read('x'), { code: 'EHOSTDOWN' });
    answer = refuse(403, 'AccessDenied');
    await assert.rejects(objects.list('', ''), { code: 'EHOSTDOWN', message: /AccessDenied: no/ });
    answer = refuse(400, 'InvalidPart');
    await assert.rejects(objects.completeUpload('x', 'u', []), { code: 'EIO', message: /InvalidPart/ });
    answer = refuse(404, 'NoSuchUpload');
    await objects.abortUpload('x', 'u');
  });

  it('asks again when the object store is busy', async () => {
    answer = (request, response) =>
      asked.length === 1 ? refuse(503, 'SlowDown')(request, response) : response.writeHead(200).end();
    await objects.remove('x');
    assert.equal(asked.length, 2);
    answer = refuse(503, 'SlowDown');
    await assert.rejects(objects.remove('x'), { code: 'EHOSTDOWN' });
  });

  it('blames no object store for a local file', async () => {
    answer = give();
    await assert.rejects(
      objects.download('x', 0, { path: join(directory, 'no/such'), position: 0, length: 10 }),
      { code: 'EIO', message: /no\/such: ENOENT/ },
    );
    writeFileSync(join(directory, 'short'), 'abc');
    const from = { path: join(directory, 'short'), position: 0, length: 10 };
    await assert.rejects(objects.uploadPart('x', 'u', 1, from), {
      code: 'EIO',
      message: /short: it ends at 3/,
    });
  });

  it('ends what is under way when it is stopped', async () => {
    const reached = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const removed = objects.remove('x');
    await reached;
    objects.stop();
    await assert.rejects(removed, { code: 'ESHUTDOWN' });
    await assert.rejects(objects.remove('x'), { code: 'ESHUTDOWN' });
  });
});
