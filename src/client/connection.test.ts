import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { crc32c } from '../native/batch.ts';
import { ApiKey } from '../protocol/api-keys.ts';
import { ErrorCode } from '../protocol/errors.ts';
import { apiVersionsResponse, createApiVersion } from '../protocol/generated/api-versions-response.ts';
import { type DirectGetRequest, directGetRequest } from '../protocol/generated/direct-get-request.ts';
import {
  createDirectGetItemResponse,
  type DirectGetResponse,
  directGetResponse,
} from '../protocol/generated/direct-get-response.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import { Writer } from '../protocol/wire/writer.ts';
import type { Cluster } from './cluster.ts';
import { Connection } from './connection.ts';
import type { DirectError } from './errors.ts';
import { Getter } from './getter.ts';
import { idAfter } from './request-frame.ts';
import type { SharedPool } from './shared-memory.ts';

const TIMEOUT_MS = 300;
const PIECES = 8;
const PIECE_BYTES = 1000;

interface Lands {
  readonly land: (response: DirectGetResponse) => readonly Uint8Array[];
}

/** A whole frame, with room behind the message for `more` bytes. */
function frameOf<T>(
  codec: MessageCodec<T>,
  response: Partial<T>,
  correlationId: number,
  tags: boolean,
  more = 0,
): Buffer {
  const writer = new Writer();
  writer.int32(0);
  writer.int32(correlationId);
  if (tags) writer.int8(0);
  codec.write(writer, codec.create(response), codec === (apiVersionsResponse as unknown) ? 3 : 0);
  const frame = Buffer.concat(writer.finish() as Uint8Array[]);
  frame.writeInt32BE(frame.byteLength - 4 + more, 0);
  return frame;
}

describe('a connection to a gateway', () => {
  let server: Server;
  let connection: Connection;
  let peer: Socket;
  /** What it does with a get. */
  let serve: (correlationId: number) => void;
  /** What it says of its versions. */
  let errorCode: number;

  const open = (): Promise<Connection> => {
    const { port } = server.address() as { port: number };
    const options = { host: '127.0.0.1', port, clientId: 'test', connectTimeoutMs: 10_000 };
    return Connection.open({ ...options, requestTimeoutMs: TIMEOUT_MS });
  };
  beforeEach(async () => {
    errorCode = 0;
    server = createServer((socket) => {
      peer = socket;
      socket.on('data', (data) => {
        const correlationId = data.readInt32BE(8);
        if (data.readInt16BE(4) !== ApiKey.ApiVersions) return serve(correlationId);
        const apiKeys = [createApiVersion({ apiKey: ApiKey.DirectGet, minVersion: 0, maxVersion: 0 })];
        socket.write(frameOf(apiVersionsResponse, { errorCode, apiKeys }, correlationId, false));
      });
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    connection = await open();
  });
  afterEach(async () => {
    connection.close();
    peer.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  const get = (target: Uint8Array): Promise<DirectGetResponse> =>
    connection.call(directGetRequest, directGetResponse, {}, { doing: 'get', land: () => [target] });
  const headOf = (correlationId: number) => {
    const items = [createDirectGetItemResponse({ length: PIECES * PIECE_BYTES })];
    return frameOf(directGetResponse, { items }, correlationId, true, PIECES * PIECE_BYTES);
  };

  it('is closed when the gateway does not say what it serves', async () => {
    errorCode = ErrorCode.UNSUPPORTED_VERSION;
    const first = peer;
    await assert.rejects(open(), { code: 'BROKER', broker: 'UNSUPPORTED_VERSION' });
    assert.notEqual(peer, first);
    if (!peer.destroyed) await once(peer, 'close');
  });

  it('has ids of requests that answers can repeat, however many there are', () => {
    const bytes = Buffer.alloc(4);
    for (const id of [1, 2 ** 31 - 2, 2 ** 31 - 1, idAfter(2 ** 31 - 1), -1]) {
      bytes.writeInt32BE(idAfter(id));
      assert.equal(bytes.readInt32BE(), idAfter(id));
      assert.notEqual(idAfter(id), id);
    }
  });

  it('waits for an answer as long as some of it comes', async () => {
    serve = (correlationId) => {
      peer.write(headOf(correlationId));
      let sent = 0;
      const timer = setInterval(() => {
        peer.write(Buffer.alloc(PIECE_BYTES, sent));
        if (++sent === PIECES) clearInterval(timer);
      }, TIMEOUT_MS / 4);
    };
    const target = Buffer.alloc(PIECES * PIECE_BYTES);
    await get(target);
    assert.equal(target.at(-1), PIECES - 1);
  });

  it('reads what has come while the application was busy before it gives up', async () => {
    serve = (correlationId) => {
      peer.write(Buffer.concat([headOf(correlationId), Buffer.alloc(PIECES * PIECE_BYTES, 7)]));
      const busyUntil = performance.now() + 2 * TIMEOUT_MS;
      while (performance.now() < busyUntil);
    };
    const target = Buffer.alloc(PIECES * PIECE_BYTES);
    await get(target);
    assert.equal(target.at(-1), 7);
  });

  it('takes an answer whose message is larger than what it receives messages in, with what follows it', async () => {
    const items = Array.from({ length: 20_000 }, (_, i) => createDirectGetItemResponse({ length: i }));
    serve = (correlationId) => {
      const head = frameOf(directGetResponse, { items }, correlationId, true, PIECE_BYTES);
      peer.write(Buffer.concat([head, Buffer.alloc(PIECE_BYTES, 9)]));
    };
    const [first, second] = [Buffer.alloc(1), Buffer.alloc(PIECE_BYTES - 1)];
    const land = () => [first, second];
    const answer = await connection.call(directGetRequest, directGetResponse, {}, { doing: 'get', land });
    assert.deepEqual(answer.items, items);
    assert.deepEqual(Buffer.concat([first, second]), Buffer.alloc(PIECE_BYTES, 9));
  });

  it('ends, and not the process, when memory that an answer is received in is transferred meanwhile', async () => {
    const target = new Uint8Array(PIECES * PIECE_BYTES);
    const uncaught: unknown[] = [];
    const note = (error: unknown) => uncaught.push(error);
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', note);
    serve = (correlationId) => {
      peer.write(Buffer.concat([headOf(correlationId), Buffer.alloc(PIECE_BYTES)]));
      setTimeout(() => {
        structuredClone(target.buffer, { transfer: [target.buffer] });
        peer.write(Buffer.alloc(PIECE_BYTES));
      }, 50);
    };
    try {
      await assert.rejects(get(target), { code: 'CONNECTION' });
      assert.deepEqual(uncaught, []);
    } finally {
      process.off('uncaughtException', note);
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  it('gives what is under way another attempt when memory of one cannot be reached over it', async () => {
    const data = Buffer.from('data');
    const crc = crc32c(data);
    const ids: number[] = [];
    let asked = () => {};
    const first = new Promise<void>((resolve) => {
      asked = resolve;
    });
    serve = (correlationId) => {
      ids.push(correlationId);
      asked();
      const items = [createDirectGetItemResponse({ errorCode: ErrorCode.NETWORK_EXCEPTION })];
      if (ids.length === 2) peer.write(frameOf(directGetResponse, { items }, ids[0]!, true));
    };
    const call = async (_: unknown, __: unknown, { items }: DirectGetRequest, { land }: Lands) => {
      const one = createDirectGetItemResponse({ length: data.byteLength, crc });
      const answer = directGetResponse.create({ items: items.map(() => one) });
      for (const target of land(answer)) data.copy(target);
      return answer;
    };
    const other = { call, versionOf: () => 0 };
    const limits = { bytes: 1 << 20, ranges: 100 };
    const channel = async () => ({
      connection: connection.isClosed ? other : connection,
      attachment: { path: 'tcp', limits },
    });
    const cluster = { options: { requestTimeoutMs: 10_000 }, channel } as unknown as Cluster;
    const getter = new Getter(cluster, {} as SharedPool);
    const known = { node: 1, size: data.byteLength, crc, reference: new Uint8Array(144), batch: {} };
    const value = { ...known, doing: 'get', copyOfSameBatch: () => undefined, renew: async () => false };
    const all = [{ offset: 0, length: data.byteLength, count: 1, stride: data.byteLength }];
    const targets = [Buffer.alloc(data.byteLength), Buffer.alloc(data.byteLength)];
    const got = [getter.get(value, all, targets[0]!)];
    await first;
    got.push(getter.get(value, all, targets[1]!));
    await Promise.all(got);
    assert.deepEqual(targets, [data, data]);
  });

  it('gives up in its time when the wall clock is set back', async () => {
    serve = () => undefined;
    const { now } = Date;
    const waiting = get(Buffer.alloc(1));
    Date.now = () => now() - 3_600_000;
    try {
      await assert.rejects(waiting, { code: 'TIMEOUT' });
    } finally {
      Date.now = now;
    }
  });

  it('is of no more use when nothing comes', async () => {
    serve = () => undefined;
    const isTimeout = (error: DirectError) => error.code === 'TIMEOUT' && error.retriable;
    await assert.rejects(get(Buffer.alloc(1)), isTimeout);
    assert.ok(connection.isClosed);
    await assert.rejects(get(Buffer.alloc(1)), { code: 'CONNECTION' });
  });
});
