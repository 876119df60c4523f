import assert from 'node:assert/strict';
import { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import type { NetOptions } from '../../native/net.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import {
  type DeleteGroupsRequest,
  deleteGroupsRequest,
} from '../../protocol/generated/delete-groups-request.ts';
import {
  type DeleteGroupsResponse,
  deleteGroupsResponse,
} from '../../protocol/generated/delete-groups-response.ts';
import { type HeartbeatRequest, heartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import { type HeartbeatResponse, heartbeatResponse } from '../../protocol/generated/heartbeat-response.ts';
import {
  type SaslAuthenticateRequest,
  saslAuthenticateRequest,
} from '../../protocol/generated/sasl-authenticate-request.ts';
import {
  type SaslAuthenticateResponse,
  saslAuthenticateResponse,
} from '../../protocol/generated/sasl-authenticate-response.ts';
import { systemClock } from '../../util/clock.ts';
import { type Logger, silentLogger } from '../../util/logger.ts';
import { Client, handler } from './client.fixture.ts';
import type { AnyHandler, ConnectionContext } from './handler.ts';
import { KafkaListeners } from './listener.ts';
import { noMetrics } from './metrics.ts';
import { HandlerRegistry } from './registry.ts';

const FRAME_BYTES = 100_000;
/** What no kernel buffers between two sockets take. */
const ANSWER_BYTES = 32 << 20;

/** Waits for events, not for times. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('back-pressure', () => {
  let listeners: KafkaListeners;
  let clients: Client[] = [];
  let lines: string[] = [];
  let port = 0;

  async function start(
    handlers: AnyHandler[],
    net: Partial<NetOptions> = {},
    requestQuota?: RateQuota,
    maxDecodedBytes?: number,
  ): Promise<void> {
    lines = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (_fields: object, line: string) => void lines.push(line),
    };
    listeners = new KafkaListeners({
      net,
      registry: new HandlerRegistry(handlers),
      logger,
      metrics: noMetrics,
      clock: systemClock,
      maxOutstandingBytes: ANSWER_BYTES,
      ...(requestQuota === undefined ? {} : { requestQuota }),
      ...(maxDecodedBytes === undefined ? {} : { maxDecodedBytes }),
    });
    port = (await listeners.listen({ name: 'PLAINTEXT', host: 'localhost', port: 0 })).port;
  }
  function client(): Client {
    const one = new Client(port);
    clients.push(one);
    return one;
  }
  afterEach(async () => {
    for (const one of clients) one.socket.destroy();
    clients = [];
    await listeners.shutdown(0);
    assert.equal(arenaStats().blocks, 0);
  });

  it('of clients over their quota does not hold up others, however much they send', async () => {
    const seen = new Map<number, number>();
    const take = handler<SaslAuthenticateRequest, SaslAuthenticateResponse>(
      saslAuthenticateRequest,
      saslAuthenticateResponse,
      ({ authBytes }, { connection }) => {
        const count = (seen.get(connection.id) ?? 0) + 1;
        seen.set(connection.id, count);
        if ((authBytes as Uint8Array)[0] === 1) connection.throttle(1_000_000);
        return saslAuthenticateResponse.create();
      },
    );
    // Room for four frames of all connections together.
    await start([{ ...take, borrowsFrame: true }], { maxInFlightBytes: 4 * FRAME_BYTES });
    const send = (one: Client, fill: number) =>
      one.send(saslAuthenticateRequest, 2, { authBytes: Buffer.alloc(FRAME_BYTES, fill) });
    const throttled = [client(), client(), client()];
    for (const one of throttled) {
      for (let n = 0; n < 4; n++) send(one, 1);
      await one.receive(saslAuthenticateResponse, 2);
    }
    const other = client();
    for (let n = 0; n < 20; n++) {
      send(other, 0);
      await other.receive(saslAuthenticateResponse, 2);
    }
    assert.equal([...seen.values()].filter((count) => count === 20).length, 1);
  });

  it('counts the time of requests that get no answer', async () => {
    const quota = new RateQuota('rate', systemClock, { samples: 11, sampleMs: 1000 });
    const values = new Map([['rate', 1e-9]]);
    quota.update([{ entity: new Map([['client-id', 'test']]), values }]);
    let first: ConnectionContext | null = null;
    const beat = handler<HeartbeatRequest, HeartbeatResponse>(
      heartbeatRequest,
      heartbeatResponse,
      (_request, { connection }) => {
        first = connection;
        return null;
      },
    );
    await start([beat], {}, quota);
    client().send(heartbeatRequest, 4, {});
    await until(() => first !== null);
    await until(() => (first as unknown as { throttledMs: number }).throttledMs > 0);
  });

  describe('of requests of many elements', () => {
    const MANY = 10_000;
    /** Requests that are being served, by the last of their names: each is answered when it is called. */
    let serving: Map<string, () => void>;

    async function startDeletions(net: Partial<NetOptions> = {}): Promise<void> {
      serving = new Map();
      const deletions = handler<DeleteGroupsRequest, DeleteGroupsResponse>(
        deleteGroupsRequest,
        deleteGroupsResponse,
        ({ groupsNames }) => {
          if (groupsNames.length < MANY) return deleteGroupsResponse.create();
          let resolve!: (response: DeleteGroupsResponse) => void;
          const promise = new Promise<DeleteGroupsResponse>((settle) => {
            resolve = settle;
          });
          serving.set(groupsNames.at(-1)!, () => resolve(deleteGroupsResponse.create()));
          return promise;
        },
      );
      // Room for one and a half.
      await start([deletions], net, undefined, 1.5 * MANY * 700);
    }
    const many = (one: Client, name: string) =>
      one.send(deleteGroupsRequest, 2, { groupsNames: [...new Array<string>(MANY - 1).fill('g'), name] });
    const few = (one: Client) => one.send(deleteGroupsRequest, 2, { groupsNames: ['g'] });
    async function answer(name: string): Promise<void> {
      await until(() => serving.has(name));
      serving.get(name)!();
    }

    it('lets the next wait for memory, its connection in order, and nobody else', async () => {
      await startDeletions();
      const [first, second, third, other] = [client(), client(), client(), client()];
      many(first!, 'first');
      await until(() => serving.has('first'));
      const ids = [many(second!, 'second'), few(second!), many(second!, 'again'), few(second!)];
      many(third!, 'third');
      for (let n = 0; n < 20; n++) {
        few(other!);
        await other!.receive(deleteGroupsResponse, 2);
      }
      assert.deepEqual([...serving.keys()], ['first']);
      await answer('first');
      await first!.receive(deleteGroupsResponse, 2);
      await until(() => serving.size === 2);
      for (const name of serving.has('third') ? ['third', 'second', 'again'] : ['second', 'third', 'again'])
        await answer(name);
      for (const id of ids) assert.equal((await second!.receive(deleteGroupsResponse, 2)).correlationId, id);
      await third!.receive(deleteGroupsResponse, 2);
      // It is read from again.
      few(second!);
      await second!.receive(deleteGroupsResponse, 2);
    });

    it('goes on with the next where who waits has gone', async () => {
      await startDeletions();
      const [first, gone, last] = [client(), client(), client()];
      many(first!, 'first');
      await until(() => serving.has('first'));
      many(gone!, 'gone');
      few(last!);
      await last!.receive(deleteGroupsResponse, 2);
      gone!.socket.destroy();
      many(last!, 'last');
      await answer('first');
      await until(() => serving.size === 2);
      // Nobody reads from who waits: that it has gone may be seen only when it is served.
      if (serving.has('gone')) await answer('gone');
      await answer('last');
      await last!.receive(deleteGroupsResponse, 2);
    });

    it('refuses one that would have no room alone', async () => {
      await startDeletions();
      const [large, other] = [client(), client()];
      large!.send(deleteGroupsRequest, 2, { groupsNames: new Array<string>(2 * MANY).fill('g') });
      await large!.closed;
      assert.match(lines[0]!, /DeleteGroups of 20000 elements has no room in the heap/);
      many(other!, 'other');
      await answer('other');
      await other!.receive(deleteGroupsResponse, 2);
    });

    it('closes a connection for whose request there is no room while it waits, and says so', async () => {
      // A quarter of it may be held back: less than such a request.
      await startDeletions({ maxInFlightBytes: 60_000, maxFrameBytes: 60_000 });
      const [first, refused] = [client(), client()];
      many(first!, 'first');
      await until(() => serving.has('first'));
      many(refused!, 'refused');
      await refused!.closed;
      assert.match(lines[0]!, /so many elements .* no room/);
      await answer('first');
      await first!.receive(deleteGroupsResponse, 2);
      many(first!, 'next');
      await answer('next');
      await first!.receive(deleteGroupsResponse, 2);
    });
  });

  const data = (bytes: number) => {
    const memory = NativeMemory.allocate(bytes)!;
    return [new MemoryPiece(memory)];
  };
  /** Answers with as much data as the request says, once the connection has room for it. */
  function dataHandler(outstanding: ConnectionContext['outstanding'][]): AnyHandler {
    const sizes = new WeakMap<object, number>();
    const serve = handler<HeartbeatRequest, HeartbeatResponse>(
      heartbeatRequest,
      heartbeatResponse,
      async ({ generationId: bytes }, { connection }) => {
        await connection.outstanding.acquire(bytes);
        outstanding.push(connection.outstanding);
        const response = heartbeatResponse.create();
        sizes.set(response, bytes);
        return response;
      },
    );
    return {
      ...serve,
      trailer: (response) => data(sizes.get(response)!),
      heldBytes: (response) => sizes.get(response)!,
    };
  }

  it('lets answers of a connection hold only so much memory until the client has taken them', async () => {
    const served: ConnectionContext['outstanding'][] = [];
    await start([dataHandler(served)]);
    const one = client();
    one.socket.pause();
    for (let n = 0; n < 8; n++) one.send(heartbeatRequest, 4, { generationId: ANSWER_BYTES });
    await until(() => served.length > 0);
    const [outstanding] = served;
    // A request of another connection is served, and all that the first may have has been by then.
    const other = client();
    other.send(heartbeatRequest, 4, { generationId: 1000 });
    await until(() => served.some((found) => found !== outstanding));
    assert.equal(served.filter((found) => found === outstanding).length, 1);
    assert.equal(outstanding!.bytes, ANSWER_BYTES);
    one.socket.removeAllListeners('data');
    one.socket.resume();
    await until(() => served.filter((found) => found === outstanding).length === 8);
    await until(() => outstanding!.bytes === 0);
  });

  it('closes a client that takes nothing of the data that it has asked for, and says so', async () => {
    const served: ConnectionContext['outstanding'][] = [];
    await start([dataHandler(served)], { stalledReplyMs: 50 });
    const one = client();
    one.socket.pause();
    one.send(heartbeatRequest, 4, { generationId: ANSWER_BYTES });
    await until(() => lines.length > 0);
    assert.match(lines[0]!, /did not take the data/);
    await until(() => arenaStats().blocks === 0);
  });
});
