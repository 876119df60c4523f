import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestEndpoint } from './testing-endpoint.ts';
import { WorkerObjects } from './worker-objects.ts';

describe('WorkerObjects', () => {
  let endpoint: TestEndpoint;
  let objects: WorkerObjects;

  function writeCredentials(access: string): void {
    const text = `[default]\naws_access_key_id = ${access}\naws_secret_access_key = b\n`;
    writeFileSync(join(endpoint.directory, 'credentials'), text);
  }

  beforeEach(async () => {
    endpoint = await TestEndpoint.start();
    const credentialsFile = join(endpoint.directory, 'credentials');
    writeCredentials('from-file');
    objects = new WorkerObjects(endpoint.config({ credentialsFile }));
  });
  afterEach(async () => {
    objects.close();
    await endpoint.end();
  });

  it('answers from its thread, with the credentials of the file, and with the errors of the objects', async () => {
    endpoint.answer = (response) => response.writeHead(204).end();
    await objects.remove('x');
    assert.match(endpoint.asked[0]!.headers.authorization!, /Credential=from-file\//);
    endpoint.answer = (response) => response.writeHead(200, { 'content-length': '3' }).end('abc');
    assert.equal(Buffer.from((await objects.read('x'))!).toString(), 'abc');
    endpoint.answer = (response) => response.writeHead(403).end();
    await assert.rejects(objects.remove('x'), {
      code: 'EREFUSED',
      message: /^s3:\/\/payload\/x: .*the rights to list/,
    });
  });

  it('looks for credentials anew when it is to', async () => {
    endpoint.answer = (response) => response.writeHead(204).end();
    await objects.remove('x');
    writeCredentials('another');
    const reached = endpoint.silence();
    const waiting = objects.remove('x');
    await reached;
    objects.renew();
    await assert.rejects(waiting, { code: 'EHOSTDOWN', message: /credentials are looked for anew/ });
    endpoint.answer = (response) => response.writeHead(204).end();
    await objects.remove('x');
    assert.deepEqual(
      endpoint.asked.map(({ headers }) => /Credential=([\w-]+)\//.exec(headers.authorization!)![1]),
      ['from-file', 'from-file', 'another'],
    );
  });

  it('ends all that waits when it is stopped', async () => {
    const reached = endpoint.silence();
    const removed = objects.remove('x');
    await reached;
    objects.stop();
    await assert.rejects(removed, { code: 'ESHUTDOWN' });
    await assert.rejects(objects.remove('x'), { code: 'ESHUTDOWN' });
  });

  it('does not wait for an answer longer than it is to', async () => {
    endpoint.answer = () => {};
    objects.patienceMs = 200;
    await assert.rejects(objects.read('x'), {
      code: 'EHOSTDOWN',
      message: 's3://payload/x: no answer within 200 ms',
    });
    objects.patienceMs = null;
    endpoint.answer = (response) =>
      setTimeout(() => response.writeHead(200, { 'content-length': '3' }).end('abc'), 300);
    assert.equal(Buffer.from((await objects.read('x'))!).toString(), 'abc');
  });

  it('ends all that waits when it is closed', async () => {
    const reached = endpoint.silence();
    const removed = objects.remove('x');
    await reached;
    objects.close();
    await assert.rejects(removed, { code: 'ESHUTDOWN' });
  });
});
