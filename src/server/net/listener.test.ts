import assert from 'node:assert/strict';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { MemoryPiece, type Piece } from '../../native/pieces.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { apiVersionsRequest } from '../../protocol/generated/api-versions-request.ts';
import { apiVersionsResponse } from '../../protocol/generated/api-versions-response.ts';
import { fetchRequest } from '../../protocol/generated/fetch-request.ts';
import {
  createFetchableTopicResponse,
  createFetchResponsePartitionData,
  type FetchResponse,
  fetchResponse,
} from '../../protocol/generated/fetch-response.ts';
import { type HeartbeatRequest, heartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import { type HeartbeatResponse, heartbeatResponse } from '../../protocol/generated/heartbeat-response.ts';
import {
  type SaslAuthenticateRequest,
  saslAuthenticateRequest,
} from '../../protocol/generated/sasl-authenticate-request.ts';
import { saslAuthenticateResponse } from '../../protocol/generated/sasl-authenticate-response.ts';
import type { AnyCodec } from '../../protocol/wire/codec.ts';
import { systemClock } from '../../util/clock.ts';
import { type Logger, silentLogger } from '../../util/logger.ts';
import { apiVersionsHandler } from '../handlers/18-api-versions.ts';
import { Client, handler } from './client.fixture.ts';
import { type AnyHandler, UnansweredFailure } from './handler.ts';
import { KafkaListeners } from './listener.ts';
import { noMetrics, type RequestMeasurement } from './metrics.ts';
import { HandlerRegistry } from './registry.ts';

describe('KafkaListeners', () => {
  let listeners: KafkaListeners;
  let clients: Client[] = [];
  let lines: string[] = [];
  let requests: RequestMeasurement[] = [];
  let port = 0;
  const log = (_fields: object, message: string): void => {
    lines.push(message);
  };
  const logger: Logger = { ...silentLogger, warn: log, error: log };

  async function start(...handlers: AnyHandler[]): Promise<Client> {
    lines = [];
    requests = [];
    const registry = new HandlerRegistry(handlers);
    registry.add(
      apiVersionsHandler({
        registry,
        isAnnounced: () => true,
        features: () => ({
          supported: [
            { name: 'group.version', minVersion: 0, maxVersion: 1 },
            { name: 'metadata.version', minVersion: 7, maxVersion: 30 },
          ],
          finalized: [{ name: 'metadata.version', minVersionLevel: 30, maxVersionLevel: 30 }],
          finalizedEpoch: 5n,
        }),
      }),
    );
    const metrics = { ...noMetrics, requestFinished: (one: RequestMeasurement) => requests.push(one) };
    listeners = new KafkaListeners({
      net: {},
      registry,
      logger,
      metrics,
      clock: systemClock,
      maxOutstandingBytes: 1 << 20,
    });
    port = (await listeners.listen({ name: 'PLAINTEXT', host: 'localhost', port: 0 })).port;
    return client();
  }
  function client(): Client {
    const one = new Client(port);
    clients.push(one);
    return one;
  }
  /** The server answers ApiVersions: it and this connection are alive. */
  async function assertServed(one: Client): Promise<void> {
    const id = one.send(apiVersionsRequest, 0, {});
    assert.equal((await one.receive(apiVersionsResponse, 0)).correlationId, id);
  }
  afterEach(async () => {
    for (const one of clients) one.socket.destroy();
    clients = [];
    await listeners.shutdown(0);
    assert.equal(arenaStats().blocks, 0);
  });

  it('sends replies in request order, however the handlers finish', async () => {
    const finish = new Map<string, (response: HeartbeatResponse | null) => void>();
    const beat = handler(heartbeatRequest, heartbeatResponse, ({ memberId }: HeartbeatRequest) => {
      if (memberId === 'now') return heartbeatResponse.create();
      return new Promise<HeartbeatResponse | null>((resolve) => finish.set(memberId, resolve));
    });
    const one = await start(beat);
    const ids = ['a', 'b', 'now', 'c'].map((memberId) => one.send(heartbeatRequest, 4, { memberId }));
    while (finish.size < 3) await new Promise((resolve) => setImmediate(resolve));
    finish.get('c')!(heartbeatResponse.create({ errorCode: 27 }));
    finish.get('b')!(null);
    finish.get('a')!(heartbeatResponse.create({ throttleTimeMs: 3 }));
    const first = await one.receive(heartbeatResponse, 4);
    assert.deepEqual([first.correlationId, first.body.throttleTimeMs], [ids[0], 3]);
    assert.equal((await one.receive(heartbeatResponse, 4)).correlationId, ids[2]);
    const last = await one.receive(heartbeatResponse, 4);
    assert.deepEqual([last.correlationId, last.body.errorCode], [ids[3], 27]);
    assert.deepEqual(
      requests.map(({ api, version, errorCodes, failed }) => [api, version, ...errorCodes, failed]).sort(),
      [
        ['Heartbeat', 4, 27, false],
        ['Heartbeat', 4, false],
        ['Heartbeat', 4, false],
        ['Heartbeat', 4, false],
      ],
    );
  });

  it('sends native memory as part of a response', async () => {
    const records = Buffer.alloc(200_000, 'kafabric');
    const fetch = handler(fetchRequest, fetchResponse, (): FetchResponse => {
      const memory = NativeMemory.allocate(records.length)!;
      memory.bytes().set(records);
      const partitions = [createFetchResponsePartitionData({ records: [new MemoryPiece(memory)] })];
      return fetchResponse.create({ responses: [createFetchableTopicResponse({ topic: 't', partitions })] });
    });
    const one = await start(fetch);
    one.send(fetchRequest, 12, {});
    const { body } = await one.receive(fetchResponse, 12);
    assert.ok(records.equals(body.responses[0]!.partitions[0]!.records as Uint8Array));
  });

  it('lets handlers keep what they were given, unless they borrow the frame', async () => {
    const kept: Uint8Array[] = [];
    const held: boolean[] = [];
    const sasl = handler(saslAuthenticateRequest, saslAuthenticateResponse, async (request, { memory }) => {
      kept.push((request as SaslAuthenticateRequest).authBytes as Uint8Array);
      held.push(memory !== null);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return saslAuthenticateResponse.create();
    });
    const one = await start(sasl);
    for (const fill of [1, 2]) {
      for (const size of [1000, 100_000]) {
        one.send(saslAuthenticateRequest, 2, { authBytes: Buffer.alloc(size, fill) });
        await one.receive(saslAuthenticateResponse, 2);
      }
    }
    assert.deepEqual(
      kept.map((bytes) => [bytes.length, bytes[0], bytes.at(-1)]),
      [
        [1000, 1, 1],
        [100_000, 1, 1],
        [1000, 2, 2],
        [100_000, 2, 2],
      ],
    );
    assert.deepEqual(held, [false, false, false, false]);

    await listeners.shutdown(0);
    const borrowing = await start({ ...sasl, borrowsFrame: true });
    held.length = 0;
    for (const size of [1000, 100_000]) {
      borrowing.send(saslAuthenticateRequest, 2, { authBytes: Buffer.alloc(size, 1) });
      await borrowing.receive(saslAuthenticateResponse, 2);
    }
    assert.deepEqual(held, [false, true]);
  });

  const refused: [string, (one: Client) => void, RegExp][] = [
    [
      'an unknown API',
      (one) => one.sendFrame(Buffer.from([0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0])),
      /API key 32512 version 0/,
    ],
    [
      'an API that is not served',
      (one) => one.send(fetchRequest as AnyCodec, 12, {}),
      /Fetch version 12 is not served/,
    ],
    [
      'a version that is not served',
      (one) => one.send(heartbeatRequest, 5, {}),
      /Heartbeat version 5 is not served/,
    ],
    ['a short frame', (one) => one.sendFrame(Buffer.alloc(3)), /3 bytes is too short/],
    ['an empty frame', (one) => one.sendFrame(Buffer.alloc(0)), /0 bytes is too short/],
    [
      'a body that ends early',
      (one) => one.sendFrame(Buffer.from([0, 12, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0, 9])),
      /malformed Heartbeat request/,
    ],
    ['a TLS hello', (one) => one.socket.write(Buffer.from('160301020001', 'hex')), /TLS hello/],
    [
      'an oversized frame',
      (one) => one.socket.write(Buffer.from('7fffffff', 'hex')),
      /2147483647 bytes exceeds/,
    ],
  ];
  for (const [name, act, line] of refused) {
    it(`closes the connection on ${name}, with one log line, and serves the others`, async () => {
      const good = await start(
        handler(heartbeatRequest, heartbeatResponse, () => heartbeatResponse.create()),
      );
      for (let i = 0; i < 3; i++) {
        const bad = client();
        act(bad);
        await bad.closed;
      }
      await assertServed(good);
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0]!, line);
    });
  }

  it('answers what came before a bad request', async () => {
    const one = await start();
    const id = one.send(apiVersionsRequest, 0, {});
    one.sendFrame(Buffer.alloc(3));
    assert.equal((await one.receive(apiVersionsResponse, 0)).correlationId, id);
    await one.closed;
  });

  it('answers what it is still at when a bad request comes', async () => {
    let finish: (() => void) | undefined;
    const one = await start(
      handler(heartbeatRequest, heartbeatResponse, async () => {
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return heartbeatResponse.create();
      }),
    );
    const id = one.send(heartbeatRequest, 4, {});
    one.sendFrame(Buffer.alloc(3));
    while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    finish!();
    assert.equal((await one.receive(heartbeatResponse, 4)).correlationId, id);
    await one.closed;
  });

  it('logs a handler that fails and closes its connection only', async () => {
    const good = await start(
      handler(heartbeatRequest, heartbeatResponse, ({ memberId }) => {
        if (memberId === 'sync') throw new Error('sync failure');
        return Promise.reject(new Error('async failure'));
      }),
    );
    for (const memberId of ['sync', 'async']) {
      const bad = client();
      bad.send(heartbeatRequest, 4, { memberId });
      await bad.closed;
    }
    await assertServed(good);
    assert.deepEqual(lines, Array(2).fill('Heartbeat failed; closing the connection'));
    assert.equal(requests.filter(({ failed }) => failed).length, 2);
  });

  it('closes the connection of an answer that is longer than a frame can be, and gives its memory back', async () => {
    const memory = NativeMemory.allocate(200_000)!;
    const tooMuch = { byteLength: 2 ** 31 - 1 } as Piece;
    const one = await start({
      ...handler(heartbeatRequest, heartbeatResponse, () => heartbeatResponse.create()),
      trailer: () => [new MemoryPiece(memory), tooMuch],
    });
    one.send(heartbeatRequest, 4, {});
    await one.closed;
    assert.deepEqual(lines, ['Heartbeat failed; closing the connection']);
  });

  it('closes the connection of a request that fails without an answer, with one line for all of its kind', async () => {
    const good = await start(
      handler(heartbeatRequest, heartbeatResponse, () => Promise.reject(new UnansweredFailure('No answer'))),
    );
    for (let i = 0; i < 2; i++) {
      const bad = client();
      bad.send(heartbeatRequest, 4, {});
      await bad.closed;
    }
    await assertServed(good);
    assert.deepEqual(lines, ['No answer; closing the connection']);
  });

  it('aborts what waits for a client that has gone', async () => {
    let closed: AbortSignal | undefined;
    const one = await start(
      handler(heartbeatRequest, heartbeatResponse, (_request, { connection }) => {
        closed = connection.closed;
        return new Promise((resolve) => {
          connection.closed.addEventListener('abort', () => resolve(heartbeatResponse.create()));
        });
      }),
    );
    one.send(heartbeatRequest, 4, {});
    while (!closed) await new Promise((resolve) => setImmediate(resolve));
    one.socket.destroy();
    while (!closed.aborted) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual(lines, []);
  });

  describe('ApiVersions', () => {
    const software = { clientSoftwareName: 'kafabric-test', clientSoftwareVersion: '1.0' };

    it('reports what is registered, in every version', async () => {
      const one = await start(handler(heartbeatRequest, heartbeatResponse, () => null));
      for (let version = 0; version <= 4; version++) {
        one.send(apiVersionsRequest, version, version >= 3 ? software : {});
        const { body } = await one.receive(apiVersionsResponse, version);
        assert.equal(body.errorCode, ErrorCode.NONE);
        assert.deepEqual(body.apiKeys, [
          { apiKey: ApiKey.Heartbeat, minVersion: 0, maxVersion: 4 },
          { apiKey: ApiKey.ApiVersions, minVersion: 0, maxVersion: 4 },
        ]);
        const features =
          version < 3 ? [] : version < 4 ? ['metadata.version'] : ['group.version', 'metadata.version'];
        assert.deepEqual(
          body.supportedFeatures.map(({ name }) => name),
          features,
        );
        assert.equal(body.finalizedFeaturesEpoch, version < 3 ? -1n : 5n);
      }
    });

    it('announces Produce from version 0 (KAFKA-18659)', async () => {
      const { produceRequest } = await import('../../protocol/generated/produce-request.ts');
      const { produceResponse } = await import('../../protocol/generated/produce-response.ts');
      const one = await start(handler(produceRequest, produceResponse, () => null));
      one.send(apiVersionsRequest, 0, {});
      const { body } = await one.receive(apiVersionsResponse, 0);
      assert.deepEqual(body.apiKeys[0], {
        apiKey: ApiKey.Produce,
        minVersion: 0,
        maxVersion: produceRequest.maxVersion,
      });
    });

    it('answers a version that is too high in version 0, with its own range, and goes on', async () => {
      const one = await start();
      const id = one.send(apiVersionsRequest, 5, software);
      const { correlationId, body } = await one.receive(apiVersionsResponse, 0);
      assert.equal(correlationId, id);
      assert.equal(body.errorCode, ErrorCode.UNSUPPORTED_VERSION);
      assert.deepEqual(body.apiKeys, [{ apiKey: ApiKey.ApiVersions, minVersion: 0, maxVersion: 4 }]);
      await assertServed(one);
    });

    it('checks the name and version of the client software (KIP-511)', async () => {
      const one = await start();
      const bad = ['', '-x', 'x-', 'a b', 'a/b', 'é', '.'];
      for (const clientSoftwareName of bad) {
        one.send(apiVersionsRequest, 3, { ...software, clientSoftwareName });
        const { body } = await one.receive(apiVersionsResponse, 3);
        assert.equal(body.errorCode, ErrorCode.INVALID_REQUEST, clientSoftwareName);
        assert.deepEqual(body.apiKeys, []);
      }
      for (const clientSoftwareVersion of ['1', '1.0-SNAPSHOT', 'v2']) {
        one.send(apiVersionsRequest, 4, { ...software, clientSoftwareVersion });
        assert.equal((await one.receive(apiVersionsResponse, 4)).body.errorCode, ErrorCode.NONE);
      }
    });
  });

  it('lets a client over its quota wait, and then serves what it has sent, in order', async () => {
    const seen: number[] = [];
    const one = await start(
      handler<HeartbeatRequest, HeartbeatResponse>(
        heartbeatRequest,
        heartbeatResponse,
        (request, context) => {
          seen.push(request.generationId);
          context.connection.throttle(request.generationId === 1 ? 20 : 0);
          return heartbeatResponse.create();
        },
      ),
    );
    for (const generationId of [1, 2, 3]) one.send(heartbeatRequest, 4, { generationId });
    for (const correlationId of [1, 2, 3])
      assert.equal((await one.receive(heartbeatResponse, 4)).correlationId, correlationId);
    assert.deepEqual(seen, [1, 2, 3]);
  });

  it('answers a client over its quota, then looks at nothing more of it, while others are served', async () => {
    let calls = 0;
    const one = await start(
      handler<HeartbeatRequest, HeartbeatResponse>(
        heartbeatRequest,
        heartbeatResponse,
        (_request, context) => {
          calls++;
          if (calls === 1) context.connection.throttle(1_000_000);
          return heartbeatResponse.create();
        },
      ),
    );
    one.send(heartbeatRequest, 4, {});
    one.send(heartbeatRequest, 4, {});
    await one.receive(heartbeatResponse, 4);
    const other = client();
    other.send(heartbeatRequest, 4, {});
    await other.receive(heartbeatResponse, 4);
    assert.equal(calls, 2);
    one.socket.destroy();
    await one.closed;
  });
});
