import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { issue, makeAuthority } from '../util/testing/certificates.ts';
import { VirtualClock } from '../util/testing/virtual-clock.ts';
import { arenaStats, NativeMemory } from './arena.ts';
import { crc32c } from './batch.ts';
import {
  FabricTransport,
  inspectFabric,
  PEER_READS,
  PEER_WRITES,
  PLAIN_TCP,
  TLS_TCP,
  type TransferOrder,
  type TransportOptions,
} from './fabric.ts';
import { type AttachOptions, InitiatorAttachment, TargetAttachment } from './fabric-attach.ts';
import type { Way } from './fabric-choice.ts';

const HEARTBEAT_MS = 3000;
const BYTES = 300_000;
const options: TransportOptions = { library: '', pieceBytes: 65_536, window: 4, host: '127.0.0.1' };
const plain: Way = { provider: PLAIN_TCP, domain: '', network: '' };

/** Ends that are joined by a control connection of this process. */
class Joined {
  readonly clock = new VirtualClock();
  readonly opened: FabricTransport[] = [];
  readonly initiator: InitiatorAttachment;
  readonly target: TargetAttachment;
  /** Nothing gets through any more. */
  cut = false;

  constructor(ways: { initiator: Way[]; target: Way[]; broken?: Way }, heartbeatMs = HEARTBEAT_MS) {
    const side = (of: Way[], fails: Way | undefined, deliver: (message: string) => void): AttachOptions => ({
      ways: of,
      host: 'here',
      clock: this.clock,
      send: (message) => queueMicrotask(() => this.cut || deliver(message)),
      open: async (way) => {
        if (way === fails) throw new Error('it does not open');
        const transport = await FabricTransport.open(way, options);
        await transport.registerArena();
        this.opened.push(transport);
        return transport;
      },
    });
    this.initiator = new InitiatorAttachment({
      ...side(ways.initiator, undefined, (message) => this.target.receive(message)),
      heartbeatMs,
      ends: {
        here: { name: 'the store', setting: 'fabric.provider' },
        there: { name: 'the gateway', setting: 'fabric.provider' },
      },
    });
    this.target = new TargetAttachment({
      ...side(ways.target, ways.broken, (message) => this.initiator.receive(message)),
      peerHost: '127.0.0.1',
    });
  }

  attach() {
    return Promise.all([this.initiator.attach(), this.target.attach()]);
  }

  async close(): Promise<void> {
    await Promise.all(this.opened.map((transport) => transport.close()));
  }
}

const { providers } = await inspectFabric('');
const libfabric = providers.find(({ provider, domain }) => provider === 'tcp;ofi_rxm' && domain === 'lo');

describe('attaching to the fabric', () => {
  let joined: Joined;
  afterEach(async () => {
    await joined?.close();
    assert.equal(arenaStats().usedBytes, 0);
  });

  function filled(seed: number): NativeMemory {
    const memory = NativeMemory.allocate(BYTES)!;
    const bytes = memory.bytes();
    for (let i = 0; i < BYTES; i++) bytes[i] = (i * seed) >> 3;
    return memory;
  }

  /** Both directions, by orders as a client gives them. */
  async function moveBytes(way: Way): Promise<void> {
    joined = new Joined({ initiator: [way], target: [way] });
    const [store, client] = await joined.attach();
    const memories = [filled(3), filled(5), filled(7)] as const;
    const [source, sink, local] = memories;
    const region = await client.transport.publish(source, PEER_READS);
    const other = await client.transport.publish(sink, PEER_WRITES);
    joined.target.publish(region, 1n, BYTES, PEER_READS);
    joined.target.publish(other, 2n, BYTES, PEER_WRITES);
    await new Promise((resolve) => setImmediate(resolve));
    const now = joined.clock.now();
    const order = (sequence: bigint, name: bigint, key: bigint, write: boolean): TransferOrder => ({
      attachment: client.attachment,
      sequence,
      expiresMs: now + 1000,
      write,
      parts: [{ region: name, key, offset: 1n, length: BigInt(BYTES - 1) }],
    });
    const ranges = store.memory.resolve(order(1n, 1n, region.key, false), now);
    await store.transport.read(store.peer, ranges, [{ memory: local, offset: 1 }], 10_000).done;
    assert.deepEqual(local.bytes().subarray(1), source.bytes().subarray(1));
    const into = store.memory.resolve(order(2n, 2n, other.key, true), now);
    await store.transport.write(store.peer, into, [{ memory: local, offset: 1 }], 10_000).done;
    assert.deepEqual(sink.bytes().subarray(1), source.bytes().subarray(1));

    assert.throws(() => store.memory.resolve(order(2n, 2n, other.key, true), now), { code: 'EALREADY' });
    assert.throws(() => store.memory.resolve(order(3n, 1n, region.key, true), now), { code: 'EACCES' });
    assert.throws(() => store.memory.resolve(order(4n, 1n, region.key ^ 1n, false), now), {
      code: 'EKEYREJECTED',
    });
    const { requests, bytesRead, bytesWritten, errors, peers, latency } = store.transport.statistics();
    assert.deepEqual(
      { requests, bytesRead, bytesWritten, errors },
      { requests: 3, bytesRead: BYTES - 1 + 1024, bytesWritten: BYTES - 1, errors: 0 },
    );
    assert.equal(peers[store.peer]!.requests, 3);
    assert.equal(
      latency.reduce((sum, count) => sum + count),
      3,
    );
    const all = [{ memory: local, offset: 1 }];
    local.bytes().fill(0);
    const came = await new Promise<number>((resolve, reject) =>
      store.transport.readCrc(store.peer, ranges, all, 10_000, { seed: 7, ending: { resolve, reject } }),
    );
    assert.equal(came, crc32c(source.bytes().subarray(1), 7));
    sink.bytes().fill(0);
    const went = await store.transport.write(store.peer, into, all, 10_000, 0).done;
    assert.equal(went, crc32c(source.bytes().subarray(1)));
    assert.deepEqual(sink.bytes().subarray(1), source.bytes().subarray(1));
    joined.target.detach('done');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(joined.initiator.ended, 'the other end detached: done');
    const late = store.transport.read(store.peer, ranges, [{ memory: local, offset: 1 }], 1000);
    await assert.rejects(late.done, { code: 'ENOTCONN' });
    for (const end of ['read', 'write'] as const)
      await assert.rejects(store.transport[end](store.peer, ranges, all, 1000, 0).done, { code: 'ENOTCONN' });
    await client.transport.withdraw(region);
    await client.transport.withdraw(other);
    for (const memory of memories) memory.release();
  }

  it('moves bytes over plain TCP', () => moveBytes(plain));

  if (libfabric !== undefined) it('moves bytes over libfabric', () => moveBytes(libfabric));

  if (libfabric !== undefined)
    it('takes the next way when one does not open', async () => {
      joined = new Joined({ initiator: [libfabric, plain], target: [libfabric, plain], broken: libfabric });
      const [store, client] = await joined.attach();
      assert.equal(store.way.provider, PLAIN_TCP);
      assert.equal(client.way.provider, PLAIN_TCP);
    });

  it('tells both ends why there is no way', async () => {
    const other: Way = { provider: 'cxi', domain: 'cxi0', network: 'cxi' };
    joined = new Joined({ initiator: [plain], target: [other] });
    const [store, client] = await Promise.allSettled([joined.initiator.attach(), joined.target.attach()]);
    const reason =
      'no way in common: the store has plain-tcp; the gateway has cxi: name one that both have, as kafabric doctor lists them, at both (the store: fabric.provider, the gateway: fabric.provider), or none';
    assert.equal((store as PromiseRejectedResult).reason.message, reason);
    assert.equal((client as PromiseRejectedResult).reason.message, reason);

    joined = new Joined({ initiator: [plain], target: [plain], broken: plain });
    const [failed] = await Promise.allSettled([joined.initiator.attach(), joined.target.attach()]);
    assert.equal((failed as PromiseRejectedResult).reason.message, 'plain-tcp on any: it does not open');
  });

  it('keeps nothing of peers that cannot be added', async () => {
    for (const way of libfabric === undefined ? [plain] : [plain, libfabric]) {
      const transport = await FabricTransport.open(way, options);
      await assert.rejects(transport.addPeer(Buffer.from('nowhere')));
      const known = () => Object.keys(transport.statistics().peers).length;
      // The transport's thread forgets it.
      for (let turn = 0; turn < 200 && known() > 0; turn++) await setTimeout(5);
      assert.equal(known(), 0, way.provider);
      await transport.close();
    }
  });

  it('takes nobody for its initiator who shows a certificate in place of the key', async () => {
    const { pem, keyPem } = issue(makeAuthority('a CA'), { name: 'x', addresses: ['127.0.0.1'] });
    const welcome = Buffer.alloc(40);
    welcome.writeUInt32LE(2);
    const server = createServer({ cert: pem, key: keyPem }, (socket) => {
      socket.on('error', () => undefined).write(welcome);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const offer = Buffer.concat([
      randomBytes(16),
      Buffer.alloc(2),
      randomBytes(32),
      Buffer.from('127.0.0.1'),
    ]);
    offer.writeUInt16LE((server.address() as AddressInfo).port, 16);
    const transport = await FabricTransport.open(
      { ...plain, provider: TLS_TCP },
      { ...options, listen: false },
    );
    await assert.rejects(transport.answer(offer), /the peer cannot be reached by tls-tcp/);
    await transport.close();
    server.close();
  });

  it('ends when the other end is silent', async () => {
    joined = new Joined({ initiator: [plain], target: [plain] });
    await joined.attach();
    for (let i = 0; i < 10; i++) {
      joined.clock.tick(HEARTBEAT_MS / 2);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(joined.initiator.ended, null);
    const ends: string[] = [];
    joined.initiator.onEnd((reason) => ends.push(reason));
    joined.cut = true;
    joined.clock.tick(2 * HEARTBEAT_MS);
    assert.deepEqual(ends, ['the other end is silent']);
    assert.equal(joined.target.ended, 'the other end is silent');
    assert.equal(joined.clock.pending, 0);
  });

  it('does not take the other end for gone because it stood still itself', async () => {
    joined = new Joined({ initiator: [plain], target: [plain] });
    await joined.attach();
    for (let i = 0; i < 3; i++) {
      joined.clock.standStill(2 * HEARTBEAT_MS);
      await joined.clock.advance(HEARTBEAT_MS);
    }
    assert.deepEqual([joined.initiator.ended, joined.target.ended], [null, null]);
    joined.clock.standStill(2 * HEARTBEAT_MS);
    joined.cut = true;
    await joined.clock.advance(2 * HEARTBEAT_MS);
    assert.equal(joined.initiator.ended, 'the other end is silent');
    assert.equal(joined.target.ended, 'the other end is silent');
  });

  it('waits for no signs of life where what carries the messages says when the other end is gone', async () => {
    joined = new Joined({ initiator: [plain], target: [plain] }, 0);
    await joined.attach();
    assert.equal(joined.clock.pending, 0);
    joined.initiator.lost('gone');
    assert.equal(joined.target.ended, null);
  });

  it('ends when the other end sends nonsense', async () => {
    for (const nonsense of ['{', '{"type":"publish","region":"x"}', '{"type":"no"}', '[]']) {
      joined = new Joined({ initiator: [plain], target: [plain] });
      const attached = joined.initiator.attach();
      joined.initiator.receive(nonsense);
      await assert.rejects(attached, /the peer sent /);
      joined.target.detach('enough');
    }
  });
});
