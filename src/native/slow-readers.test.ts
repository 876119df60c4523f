import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { issue, makeAuthority } from '../util/testing/certificates.ts';
import { arenaStats, NativeMemory } from './arena.ts';
import { Net, type NetTls } from './net.ts';
import { MemoryPiece } from './pieces.ts';
import { Store } from './store.ts';
import type { StoreFile } from './store-file.ts';

const size = 24 << 20;

/** Bytes that tell where they belong. */
function pattern(): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
  return bytes;
}

const authority = makeAuthority('CA');
const gateway = issue(authority, { name: 'gateway', addresses: ['127.0.0.1'] });
const material: NetTls = {
  certificates: [gateway.pem],
  key: gateway.keyPem,
  authorities: [],
  clientAuth: 'none',
  allowsVersion12: true,
};

/** Whether files here bypass the page cache: only then do they hold memory. */
async function opensDirect(): Promise<boolean> {
  const dir = mkdtempSync(join(tmpdir(), 'kafabric-slow-'));
  const store = new Store({ threads: 1 });
  const { direct } = await store.open(join(dir, 'file'), { create: true });
  await store.shutdown();
  rmSync(dir, { recursive: true });
  return direct;
}

const isDirect = await opensDirect();

for (const tls of [null, material])
  describe(`replies to slow readers${tls === null ? '' : ' over TLS'}`, () => {
    const dial = (port: number): Socket =>
      tls === null ? connect(port, '127.0.0.1') : connectTls({ port, host: '127.0.0.1', ca: authority.pem });
    let dir: string;
    let store: Store;
    let file: StoreFile;
    let net: Net;
    const content = pattern();

    beforeEach(async () => {
      dir = mkdtempSync(join(tmpdir(), 'kafabric-slow-'));
      store = new Store({ threads: 1 });
      file = await store.open(join(dir, 'file'), { create: true });
    });

    afterEach(async () => {
      await net.shutdown(0);
      await store.shutdown();
      rmSync(dir, { recursive: true });
      assert.equal(arenaStats().usedBytes, 0);
    });

    async function append(): Promise<void> {
      await file.append([Buffer.from('before')]).done;
      const memory = NativeMemory.allocate(size)!;
      memory.bytes().set(content);
      await file.append([new MemoryPiece(memory)], { align: true }).done;
      memory.release();
    }

    /** A server that answers everything with the file's content. */
    async function serve(heldReplyMs: number): Promise<number> {
      net = new Net(
        { heldReplyMs, sendBufferBytes: 64 << 10 },
        {
          onConnect() {},
          onFrame(connection, _bytes, memory) {
            memory?.release();
            const { size: end } = file;
            net.reply(connection, file.find(end - size, size)!);
          },
          onClose() {},
          onRefused() {},
        },
      );
      return (await net.listen('127.0.0.1', 0, tls)).port;
    }

    if (isDirect)
      it('give the memory back and go on from the file, also when that was deleted', async () => {
        await append();
        const socket = dial(await serve(50));
        socket.pause();
        await once(socket, 'connect');
        socket.write(Buffer.from([0, 0, 0, 1, 7]));
        while (net.stats().givenBackBytes === 0) await sleep(20);
        // Now the cache alone holds the memory, and when the file is closed nobody does.
        await file.close();
        unlinkSync(file.path);
        while (arenaStats().usedBytes > 0) await sleep(20);
        const received: Buffer[] = [];
        let length = 0;
        for await (const data of socket) {
          received.push(data);
          length += data.length;
          if (length === size) break;
        }
        assert.ok(Buffer.concat(received).equals(content));
      });

    it('stay in memory while they are read', async () => {
      await append();
      const socket = dial(await serve(60_000));
      socket.write(Buffer.from([0, 0, 0, 1, 7]));
      let length = 0;
      for await (const data of socket) {
        length += data.length;
        if (length === size) break;
      }
      assert.equal(net.stats().givenBackBytes, 0);
    });
  });
