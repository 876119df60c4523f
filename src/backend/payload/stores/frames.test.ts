import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Frames } from './frames.ts';
import { MAX_FRAME_BYTES, MAX_GREETING_BYTES } from './messages.ts';

describe('Frames of a control connection', () => {
  let server: Server;
  let near: Socket;
  let far: Socket;

  beforeEach(async () => {
    server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    near = connect((server.address() as { port: number }).port, '127.0.0.1');
    far = await accepted;
    far.on('error', () => undefined);
  });
  afterEach(async () => {
    near.destroy();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  function framed(text: string): Buffer {
    const frame = Buffer.alloc(4 + Buffer.byteLength(text));
    frame.writeUInt32BE(frame.length - 4);
    frame.write(text, 4);
    return frame;
  }

  it('are whole, however they come', async () => {
    const texts = ['', 'a', 'é'.repeat(2000), '{"x":1}', 'z'.repeat(MAX_GREETING_BYTES)];
    const received: string[] = [];
    const closed = new Promise<string>((resolve) => {
      new Frames(near, { onFrame: (message) => received.push(message), onClose: resolve });
    });
    const all = Buffer.concat(texts.map(framed));
    for (let at = 0; at < all.length; ) {
      const next = at + 1 + (at % 700);
      far.write(all.subarray(at, next));
      at = next;
      await new Promise(setImmediate);
    }
    far.end(Buffer.of(0, 0, 0));
    assert.equal(await closed, 'the other end closed the connection');
    assert.deepEqual(received, texts);
  });

  it('that are too long close the connection', async () => {
    const closed = new Promise<string>((resolve) => {
      new Frames(near, { onFrame: () => assert.fail('it came'), onClose: resolve });
    });
    far.write(framed('x'.repeat(MAX_GREETING_BYTES + 1)));
    assert.match(await closed, /a frame of 4097 bytes came; 4096 are allowed/);
  });

  it('end a connection gently, but not for ever when the other end takes nothing', async () => {
    far.pause();
    const frames = new Frames(near, { onFrame: () => undefined, onClose: () => undefined });
    // Until the buffers of the kernel are full.
    while (near.writableLength < MAX_FRAME_BYTES) frames.send('x'.repeat(MAX_FRAME_BYTES));
    const gone = new Promise((resolve) => near.once('close', resolve));
    frames.close('it stops', true);
    await gone;
  });
});
