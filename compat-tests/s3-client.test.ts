import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isChecksumOf } from '../src/backend/payload/tiers/s3/checksums.ts';
import { S3_CONFIG } from '../src/backend/payload/tiers/s3/testing.ts';
import { WorkerObjects } from '../src/backend/payload/tiers/s3/worker-objects.ts';
import type { S3Config } from '../src/config/index.ts';
import { crc32c } from '../src/native/batch.ts';
import { targetIsKafka } from './harness/broker.ts';
import { requireToolchain } from './harness/client.ts';
import { S3Server } from './harness/s3-server.ts';

const PART_BYTES = 5 << 20;
const CONTENT = randomBytes(2 * PART_BYTES + 12_345);

describe('the client of the tier S3, against an object store', () => {
  if (targetIsKafka) return;
  let dir: string;
  let server: S3Server;
  const opened: WorkerObjects[] = [];

  before(async function () {
    requireToolchain(this, S3Server.setup);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-s3-client-'));
    writeFileSync(join(dir, 'original'), CONTENT);
    server = await S3Server.start(join(dir, 's3'));
  });

  after(async () => {
    for (const objects of opened) objects.close();
    await server?.kill();
    if (dir) rmSync(dir, { recursive: true });
  });

  function open(more: Partial<S3Config> = {}): WorkerObjects {
    const objects = new WorkerObjects({
      ...S3_CONFIG,
      endpoint: server.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      bucket: server.bucket,
      credentialsFile: server.credentialsFile,
      cacheDirectory: dir,
      maxAttempts: 2,
      requestTimeoutMs: 30_000,
      ...more,
    });
    opened.push(objects);
    return objects;
  }

  async function upload(objects: WorkerObjects, key: string) {
    const id = await objects.beginUpload(key);
    const parts = [];
    for (let position = 0; position < CONTENT.byteLength; position += PART_BYTES) {
      const length = Math.min(PART_BYTES, CONTENT.byteLength - position);
      const from = { path: join(dir, 'original'), position, length };
      parts.push(await objects.uploadPart(key, id, parts.length + 1, from));
    }
    await objects.completeUpload(key, id, parts);
    return parts;
  }

  it('uploads parts whose CRC-32C the object store compares and keeps', async () => {
    const objects = open();
    const parts = await upload(objects, 'plain');
    assert.deepEqual(
      parts.map(({ isKept }) => isKept),
      [true, true, true],
    );
    const info = (await objects.info('plain'))!;
    assert.equal(info.bytes, CONTENT.byteLength);
    assert.ok(isChecksumOf(info.crc32c!, parts), info.crc32c!);
  });

  it('reads ranges, and their checksums', async () => {
    const objects = open();
    const to = { path: join(dir, 'copy'), position: 0, length: 1000 };
    assert.equal(await objects.download('plain', PART_BYTES - 500, to), 1000);
    assert.ok(readFileSync(to.path).equals(CONTENT.subarray(PART_BYTES - 500, PART_BYTES + 500)));
    const ranges = [
      { position: 10, length: PART_BYTES, seed: 3 },
      { position: PART_BYTES + 9000, length: 70_000, seed: 0 },
      { position: CONTENT.byteLength - 10, length: 11, seed: 0 },
    ];
    const wanted = ranges.map(({ position, length, seed }) =>
      crc32c(CONTENT.subarray(position, position + length), seed),
    );
    assert.deepEqual(await objects.checksums('plain', ranges), [...wanted.slice(0, 2), null]);
  });

  it('asks for encryption', async () => {
    const objects = open({ encryption: 'AES256' });
    const parts = await upload(objects, 'encrypted');
    assert.equal((await objects.info('encrypted'))!.bytes, CONTENT.byteLength);
    assert.equal(parts.length, 3);
    await objects.write('small', Buffer.from('small'));
    assert.equal(Buffer.from((await objects.read('small'))!).toString(), 'small');
  });

  it('removes what it has written, and forgets uploads', async () => {
    const objects = open();
    await objects.beginUpload('begun');
    const [begun] = await objects.uploads('');
    assert.equal(begun!.key, 'begun');
    await objects.abortUpload(begun!.key, begun!.upload);
    assert.deepEqual(await objects.uploads(''), []);
    for (const { key } of await objects.list('', '')) await objects.remove(key);
    assert.deepEqual(await objects.list('', ''), []);
    assert.equal(await objects.info('plain'), null);
  });
});
