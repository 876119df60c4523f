import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type AskedRequest, refuse, TestEndpoint } from '../testing-endpoint.ts';
import { SdkObjects } from './sdk-objects.ts';

const CONTENT = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
const ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: 'a',
  AWS_SECRET_ACCESS_KEY: 'b',
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
};

describe('SdkObjects', () => {
  let endpoint: TestEndpoint;
  let objects: SdkObjects;
  let directory: string;
  const before = { ...process.env };

  beforeEach(async () => {
    Object.assign(process.env, ENVIRONMENT);
    endpoint = await TestEndpoint.start();
    directory = endpoint.directory;
    objects = new SdkObjects(endpoint.config({ maxAttempts: 2 }));
  });
  afterEach(async () => {
    objects.close();
    await endpoint.end();
    for (const name of Object.keys(ENVIRONMENT))
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
  });

  const asked = () =>
    endpoint.asked.map(({ method, url, headers }) =>
      `${method} ${url.split('?')[0]} ${headers.range ?? ''}`.trim(),
    );

  /** Gives what is asked for, or breaks off after so many bytes of it. */
  const give =
    (breakOffAfter = Number.POSITIVE_INFINITY) =>
    (response: ServerResponse, { headers }: AskedRequest) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range!)!;
      const part = CONTENT.subarray(Number(first), Number(last) + 1);
      response.writeHead(206, { 'content-length': part.byteLength });
      if (part.byteLength <= breakOffAfter) response.end(part);
      else response.write(part.subarray(0, breakOffAfter), () => response.destroy());
    };

  it('writes a range of an object into a file, where it is to be', async () => {
    const path = join(directory, 'copy');
    writeFileSync(path, 'before');
    endpoint.answer = give();
    assert.equal(await objects.download('x', 1000, { path, position: 6, length: 5000 }), 5000);
    assert.deepEqual(
      readFileSync(path),
      Buffer.concat([Buffer.from('before'), CONTENT.subarray(1000, 6000)]),
    );
    assert.deepEqual(asked(), ['GET /payload/x bytes=1000-5999']);
    assert.equal(await objects.download('x', 99_000, { path, position: 0, length: 5000 }), 1000);
    endpoint.answer = refuse(416, 'InvalidRange');
    assert.equal(await objects.download('x', 100_000, { path, position: 0, length: 1 }), 0);
  });

  it('goes on where an answer broke off, and gives up after so many attempts', async () => {
    const path = join(directory, 'copy');
    endpoint.answer = (response, request) =>
      give(endpoint.asked.length === 1 ? 30_000 : undefined)(response, request);
    assert.equal(await objects.download('x', 0, { path, position: 0, length: 100_000 }), 100_000);
    assert.ok(readFileSync(path).equals(CONTENT));
    assert.equal(endpoint.asked.length, 2);
    assert.match(asked()[1]!, /bytes=\d+-99999$/);
    endpoint.answer = give(10);
    await assert.rejects(objects.download('x', 0, { path, position: 0, length: 100_000 }), {
      code: 'EHOSTDOWN',
    });
  });

  it('takes nothing from who gives more than was asked for', async () => {
    endpoint.answer = (response) =>
      response.writeHead(200, { 'content-length': CONTENT.byteLength }).end(CONTENT);
    const path = join(directory, 'copy');
    await assert.rejects(objects.download('x', 0, { path, position: 0, length: 10 }), {
      code: 'EIO',
      message: /^s3:\/\/payload\/x: 100000 bytes came where 10/,
    });
  });

  it('tells what is about an object from what is about the object store', async () => {
    const path = join(directory, 'copy');
    const get = () => objects.download('x', 0, { path, position: 0, length: 10 });
    endpoint.answer = refuse(404, 'NoSuchKey');
    await assert.rejects(get(), { code: 'ENOENT', message: /^s3:\/\/payload\/x: NoSuchKey/ });
    assert.equal(await objects.read('x'), null);
    endpoint.answer = (response) => response.writeHead(404).end();
    assert.equal(await objects.size('x'), null);
    endpoint.answer = refuse(404, 'NoSuchBucket');
    await assert.rejects(get(), { code: 'EHOSTDOWN', message: /NoSuchBucket/ });
    await assert.rejects(objects.read('x'), { code: 'EHOSTDOWN' });
    endpoint.answer = refuse(403, 'AccessDenied');
    await assert.rejects(objects.list('', ''), { code: 'EHOSTDOWN', message: /AccessDenied: no/ });
    endpoint.answer = refuse(400, 'InvalidPart');
    await assert.rejects(objects.completeUpload('x', 'u', []), { code: 'EIO', message: /InvalidPart/ });
    endpoint.answer = refuse(404, 'NoSuchUpload');
    await objects.abortUpload('x', 'u');
  });

  it('asks again when the object store is busy', async () => {
    endpoint.answer = (response, request) =>
      endpoint.asked.length === 1
        ? refuse(503, 'SlowDown')(response, request)
        : response.writeHead(200).end();
    await objects.remove('x');
    assert.equal(endpoint.asked.length, 2);
    endpoint.answer = refuse(503, 'SlowDown');
    await assert.rejects(objects.remove('x'), { code: 'EHOSTDOWN' });
  });

  it('blames no object store for a local file', async () => {
    endpoint.answer = give();
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
    const reached = endpoint.silence();
    const removed = objects.remove('x');
    await reached;
    objects.stop();
    await assert.rejects(removed, { code: 'ESHUTDOWN' });
    await assert.rejects(objects.remove('x'), { code: 'ESHUTDOWN' });
  });
});
