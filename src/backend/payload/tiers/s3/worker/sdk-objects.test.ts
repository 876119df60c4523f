import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { crc32c } from '../../../../../native/batch.ts';
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
    await assert.rejects(objects.read('x'), { code: 'EIO', message: /100000 bytes, where 65536 at most/ });
  });

  it('tells what is about an object from what is about the object store', async () => {
    const path = join(directory, 'copy');
    const get = () => objects.download('x', 0, { path, position: 0, length: 10 });
    endpoint.answer = refuse(404, 'NoSuchKey');
    await assert.rejects(get(), { code: 'ENOENT', message: /^s3:\/\/payload\/x: NoSuchKey/ });
    assert.equal(await objects.read('x'), null);
    endpoint.answer = (response) => response.writeHead(404).end();
    assert.equal(await objects.info('x'), null);
    endpoint.answer = refuse(404, 'NoSuchBucket');
    await assert.rejects(objects.read('x'), { code: 'EREFUSED' });
    for (const [status, code, advice] of [
      [404, 'NoSuchBucket', /make the bucket, or see to storage\.s3\.bucket/],
      [403, 'AccessDenied', /: no; the credentials need the rights to list/],
      [403, 'InvalidAccessKeyId', /see to the credentials \(storage\.s3\.credentials\.file/],
      [400, 'ExpiredToken', /see to the credentials/],
      [400, 'AuthorizationHeaderMalformed', /see to storage\.s3\.region/],
    ] as const) {
      endpoint.answer = refuse(status, code);
      await assert.rejects(get(), { code: 'EREFUSED', message: new RegExp(`${code}: no; `) });
      await assert.rejects(objects.list('', ''), { code: 'EREFUSED', message: advice });
    }
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

  describe('uploads a part', () => {
    const PART = Buffer.from('a part of an object');
    const CRC = 'utfoXQ==';
    let from: { path: string; position: number; length: number };

    beforeEach(() => {
      const path = join(directory, 'original');
      writeFileSync(path, PART);
      from = { path, position: 0, length: PART.byteLength };
    });

    const accept = (headers: Record<string, string>) => (response: ServerResponse) =>
      response.writeHead(200, headers).end();

    it('with its CRC-32C, which the object store compares and keeps', async () => {
      endpoint.answer = accept({ etag: '"1"', 'x-amz-checksum-crc32c': CRC });
      const part = await objects.uploadPart('x', 'u', 1, from);
      assert.equal(endpoint.asked[0]!.headers['x-amz-checksum-crc32c'], CRC);
      assert.equal(Buffer.concat(endpoint.asked[0]!.body).toString(), PART.toString());
      assert.equal(part.isKept, true);
      endpoint.answer = (response) =>
        response
          .writeHead(200, { 'content-type': 'application/xml' })
          .end('<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>');
      await objects.completeUpload('x', 'u', [part]);
      assert.match(
        Buffer.concat(endpoint.asked[1]!.body).toString(),
        new RegExp(`<ChecksumCRC32C>${CRC.replaceAll('+', '\\+')}</ChecksumCRC32C>`),
      );
      endpoint.answer = accept({ etag: '"1"', 'x-amz-checksum-crc32c': 'AAAAAA==' });
      await assert.rejects(objects.uploadPart('x', 'u', 1, from), {
        code: 'EIO',
        message: /arrived as something else/,
      });
    });

    it('and compares its MD5 where the object store keeps no CRC-32C', async () => {
      const md5 = createHash('md5').update(PART).digest('hex');
      endpoint.answer = accept({ etag: `"${md5}"` });
      assert.equal((await objects.uploadPart('x', 'u', 1, from)).isKept, false);
      endpoint.answer = accept({ etag: `"${md5.replaceAll(md5[0]!, md5[0] === '0' ? '1' : '0')}"` });
      await assert.rejects(objects.uploadPart('x', 'u', 1, from), { code: 'EIO' });
      // Of a store whose tags are something else nothing can be said.
      endpoint.answer = accept({ etag: '"another-kind-of-tag"' });
      await objects.uploadPart('x', 'u', 1, from);
    });
  });

  it('asks for encryption as it is told', async () => {
    const begun = '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>';
    for (const [encryption, kmsKeyId] of [
      ['', ''],
      ['AES256', ''],
      ['aws:kms', ''],
      ['aws:kms', 'key-1'],
      ['aws:kms:dsse', 'key-1'],
    ] as const) {
      endpoint.asked.length = 0;
      const encrypting = new SdkObjects(endpoint.config({ encryption, kmsKeyId }));
      endpoint.answer = (response) =>
        response.writeHead(200, { 'content-type': 'application/xml' }).end(begun);
      assert.equal(await encrypting.beginUpload('x'), 'u');
      endpoint.answer = (response) => response.writeHead(200, { etag: '"1"' }).end();
      await encrypting.write('y', Buffer.from('y'));
      assert.equal(endpoint.asked.length, 2);
      for (const { headers } of endpoint.asked) {
        assert.equal(headers['x-amz-server-side-encryption'] ?? '', encryption);
        assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'] ?? '', kmsKeyId);
      }
      encrypting.close();
    }
  });

  it('tells the CRC-32C of ranges, also when an answer breaks off', async () => {
    const ranges = [
      { position: 100, length: 1000, seed: 0 },
      { position: 1100, length: 60_000, seed: 7 },
      { position: 70_000, length: 29_000, seed: 0 },
      { position: 99_500, length: 600, seed: 0 },
    ];
    endpoint.answer = (response, request) =>
      give(endpoint.asked.length === 1 ? 30_000 : undefined)(response, request);
    const wanted = ranges.map(({ position, length, seed }) =>
      crc32c(CONTENT.subarray(position, position + length), seed),
    );
    assert.deepEqual(await objects.checksums('x', ranges), [...wanted.slice(0, 3), null]);
    assert.equal(endpoint.asked.length, 2);
  });
});
