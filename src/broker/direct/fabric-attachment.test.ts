import assert from 'node:assert/strict';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { createSharedBuffer, type Move } from '../../native/direct.ts';
import { FabricTransport, PEER_READS, PEER_WRITES, PLAIN_TCP } from '../../native/fabric.ts';
import { TargetAttachment } from '../../native/fabric-attach.ts';
import type { Way } from '../../native/fabric-choice.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { silentLogger } from '../../util/logger.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import type { AnswerRoom } from './direct-gets.ts';
import { FabricAttachment } from './fabric-attachment.ts';

const BYTES = 300_000;
const options = { library: '', pieceBytes: 65_536, window: 4, host: '127.0.0.1' };
/** Behaves as a provider of libfabric does, and is everywhere. */
const way: Way = { provider: PLAIN_TCP, domain: '', network: '' };

class TestRoom implements AnswerRoom {
  ended = false;
  held = 0;
  acquire(bytes: number): Promise<void> | undefined {
    if (this.ended) return Promise.reject(new Error('the connection has ended'));
    this.held += bytes;
    return undefined;
  }
  release(bytes: number): void {
    this.held -= bytes;
  }
}

describe('a direct client on the fabric', () => {
  let clock: VirtualClock;
  let room: TestRoom;
  let attachment: FabricAttachment;
  let gateway: FabricTransport;
  let client: FabricTransport | null;

  beforeEach(async () => {
    clock = new VirtualClock();
    room = new TestRoom();
    client = null;
    gateway = await FabricTransport.open(way, options);
    await gateway.registerArena();
    attachment = new FabricAttachment(
      { id: -1n, owner: {} },
      {
        ways: [way],
        host: 'here',
        clock,
        room,
        open: async () => gateway,
        timeoutMs: 60_000,
        maxRegions: 2,
        maxRegionBytes: 4 * BYTES,
        logger: silentLogger,
      },
    );
  });
  afterEach(async () => {
    attachment.end();
    await client?.close();
    await gateway.close();
    assert.equal(arenaStats().blocks, 0, 'all memory is given back');
    assert.equal(clock.pending, 0);
    assert.equal(room.held, 0);
  });

  /** Attaches, step by step. */
  async function attach(): Promise<FabricTransport> {
    const target: TargetAttachment = new TargetAttachment({
      ways: [way],
      host: 'here',
      clock,
      peerHost: '127.0.0.1',
      open: () => FabricTransport.open(way, { ...options, listen: false }),
      send: (message) => {
        void attachment.exchange(message).then((answer) => answer !== null && target.receive(answer));
      },
    });
    const { transport } = await target.attach();
    client = transport;
    return transport;
  }

  async function published(region: number): Promise<Uint8Array> {
    const shared = await createSharedBuffer(BYTES);
    const { address, key } = await client!.publishShared(shared, PEER_READS | PEER_WRITES);
    attachment.publish({ region, address, key, bytes: BigInt(BYTES) });
    return new Uint8Array(shared.buffer);
  }

  const pullOf = (memory: NativeMemory, region: number, targetOffset: number, length: number): Move[] => [
    {
      kind: 'pull',
      memory,
      blocks: [{ offset: 1, count: 1, block: length, stride: length }],
      region,
      targetOffset,
    },
  ];

  it('has its memory read and written', async () => {
    await attach();
    assert.equal(attachment.provider, PLAIN_TCP);
    const bytes = await published(0);
    for (let i = 0; i < BYTES; i++) bytes[i] = (i * 7) >> 3;
    assert.equal(attachment.holds(0, 1, BYTES - 1), true);
    assert.equal(attachment.holds(0, 2, BYTES - 1), false);
    assert.equal(attachment.holds(1, 0, 1), false);
    const memory = NativeMemory.allocate(BYTES)!;
    await attachment.hold(BYTES, async () => {
      assert.equal(room.held, BYTES);
      await attachment.pull(pullOf(memory, 0, 10, 200_000));
    });
    assert.equal(room.held, 0);
    assert.deepEqual(memory.bytes().subarray(1, 200_001), bytes.subarray(10, 200_010));
    const piece = new MemoryPiece(memory, 1, 1000);
    await attachment.push([
      { piece, region: 0, offset: 250_000 },
      { piece: new MemoryPiece(memory, 1001, 500), region: 0, offset: 299_500 },
    ]);
    assert.deepEqual(bytes.subarray(250_000, 251_000), bytes.subarray(10, 1010));
    assert.deepEqual(bytes.subarray(299_500), bytes.subarray(1010, 1510));
    memory.release();
  });

  it('is refused what it has released, and what was never its own', async () => {
    await attach();
    await published(0);
    const memory = NativeMemory.allocate(BYTES)!;
    assert.equal(attachment.release(0), true);
    assert.equal(attachment.release(0), false);
    const wrong = { code: ErrorCode.INVALID_REQUEST };
    await assert.rejects(attachment.pull(pullOf(memory, 0, 0, 1)), wrong);
    await assert.rejects(attachment.pull(pullOf(memory, 7, 0, 1)), wrong);
    await published(0);
    await assert.rejects(attachment.pull(pullOf(memory, 0, BYTES, 1)), wrong);
    await attachment.pull(pullOf(memory, 0, 0, 1));
    memory.release();
  });

  it('publishes no more than the limits', async () => {
    await attach();
    const region = (name: number, bytes: bigint) => ({ region: name, address: 0n, key: 1n, bytes });
    for (const impossible of [region(-1, 1n), { ...region(0, 2n), address: -1n }])
      assert.throws(() => attachment.publish(impossible), { code: ErrorCode.INVALID_REQUEST });
    for (const large of [region(0, 0n), region(0, -5n), region(0, BigInt(4 * BYTES + 1))])
      assert.throws(() => attachment.publish(large), /direct\.max\.region\.bytes/);
    attachment.publish(region(0, 1n));
    assert.throws(() => attachment.publish(region(0, 1n)), { code: ErrorCode.INVALID_REQUEST });
    attachment.publish(region(1, BigInt(4 * BYTES - 1)));
    assert.throws(() => attachment.publish(region(2, 1n)), /direct\.max\.regions/);
    attachment.release(0);
    assert.throws(() => attachment.publish(region(2, 2n)), /direct\.max\.region\.bytes/);
    attachment.publish(region(2, 1n));
    assert.equal(attachment.bytes, 4 * BYTES);
  });

  it('attaches in order, one step at a time, and in time', async () => {
    assert.throws(() => attachment.publish({ region: 0, address: 0n, key: 0n, bytes: 1n }), {
      code: ErrorCode.INVALID_REQUEST,
    });
    const waiting = attachment.exchange('{"type":"ping"}');
    assert.throws(() => attachment.exchange('{"type":"ping"}'), /one step of attaching at a time/);
    await clock.advance(60_000);
    assert.match((await waiting)!, /refused|detach/);
    assert.equal(await attachment.exchange('{"type":"ping"}'), null);
  });

  it('answers a step that waits when the client goes', async () => {
    const waiting = attachment.exchange('{"type":"ping"}');
    attachment.end();
    assert.equal(await waiting, null);
  });

  it('is let go of when its memory cannot be reached', async () => {
    const transport = await attach();
    await published(0);
    const memory = NativeMemory.allocate(BYTES)!;
    await transport.close();
    const lost = { code: ErrorCode.NETWORK_EXCEPTION, message: /cannot be read over plain-tcp/ };
    await assert.rejects(attachment.pull(pullOf(memory, 0, 0, 1000)), lost);
    await assert.rejects(attachment.push([{ piece: new MemoryPiece(memory), region: 0, offset: 0 }]), lost);
    assert.throws(() => attachment.publish({ region: 1, address: 0n, key: 0n, bytes: 1n }), lost);
    room.ended = true;
    await assert.rejects(
      attachment.hold(1, async () => {}),
      { code: ErrorCode.NETWORK_EXCEPTION },
    );
    memory.release();
  });
});
