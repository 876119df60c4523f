import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3_CONFIG } from './testing.ts';
import { WorkerObjects } from './worker-objects.ts';

describe('WorkerObjects', () => {
  let directory: string;
  let server: Server;
  let answer: (response: ServerResponse) => void;
  /** Whose signatures came. */
  let signers: string[];
  let objects: WorkerObjects;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'worker-objects-'));
    const credentialsFile = join(directory, 'credentials');
    writeFileSync(credentialsFile, '[default]\naws_access_key_id = from-file\naws_secret_access_key = b\n');
    signers = [];
    server = createServer(({ headers }, response) => {
      signers.push(/Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? 'nobody');
      answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    objects = new WorkerObjects({
      ...S3_CONFIG,
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      cacheDirectory: directory,
      credentialsFile,
      requestTimeoutMs: 30_000,
    });
  });
  afterEach(async () => {
    objects.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  it('answers from its thread, with the credentials of the file, and with the errors of the objects', async () => {
    answer = (response) => response.writeHead(204).end();
    await objects.remove('x');
    assert.deepEqual(signers, ['from-file']);
    answer = (response) => response.writeHead(200, { 'content-length': '3' }).end('abc');
    assert.equal(Buffer.from((await objects.read('x'))!).toString(), 'abc');
    answer = (response) => response.writeHead(403).end();
    await assert.rejects(objects.remove('x'), { code: 'EHOSTDOWN', message: /^s3:\/\/payload\/x: / });
  });

  it('ends all that waits when it is stopped', async () => {
    const reached = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const removed = objects.remove('x');
    await reached;
    objects.stop();
    await assert.rejects(removed, { code: 'ESHUTDOWN' });
    await assert.rejects(objects.remove('x'), { code: 'ESHUTDOWN' });
  });

  it('ends all that waits when it is closed', async () => {
    const reached = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const removed = objects.remove('x');
    await reached;
    objects.close();
    await assert.rejects(removed, { code: 'ESHUTDOWN' });
  });
});
