import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeRegion, RegionSocket } from '../native/direct.ts';
import { directAttachResponse } from '../protocol/generated/direct-attach-response.ts';
import { directReleaseRequest } from '../protocol/generated/direct-release-request.ts';
import type { Connection } from './connection.ts';
import { ClientAttachment, SharedPool } from './shared-memory.ts';

const PAGE = 4096;

/** To a gateway that takes memory at a socket, and counts what it is asked to release. */
class FakeConnection {
  readonly #socketName: string;
  readonly #onClosed: (() => void)[] = [];
  isClosed = false;
  releases = 0;

  constructor(socketName: string) {
    this.#socketName = socketName;
  }

  serves(): boolean {
    return false;
  }

  onClosed(action: () => void): void {
    this.#onClosed.push(action);
  }

  close(): void {
    this.isClosed = true;
    for (const action of this.#onClosed) action();
  }

  async call({ apiKey }: { apiKey: number }) {
    if (apiKey === directReleaseRequest.apiKey) this.releases++;
    const answer = { transport: 'shared-memory', attachmentId: 1n, socketName: this.#socketName };
    return directAttachResponse.create({ ...answer, token: new Uint8Array(16) });
  }
}

describe('registered memory', () => {
  it('of which nothing is used makes room for other pieces, and what is used stays', async () => {
    const pool = new SharedPool(PAGE, 8 * PAGE);
    const first = (await pool.allocate(5 * PAGE))!;
    const small = (await pool.allocate(PAGE))!;
    small.bytes.fill(7);
    assert.equal(await pool.allocate(6 * PAGE), null, 'the first piece is used');
    first.release();
    const second = (await pool.allocate(6 * PAGE))!;
    assert.equal(second.bytes.byteLength, 6 * PAGE);
    assert.equal(pool.locate(first.bytes), null);
    assert.notEqual(pool.locate(small.bytes), null);
    assert.ok(small.bytes.every((byte) => byte === 7));
    assert.equal(await pool.allocate(2 * PAGE), null);
    second.release();
    small.release();
    const whole = (await pool.allocate(8 * PAGE))!;
    assert.notEqual(pool.locate(whole.bytes), null);
  });

  it('is had up to the limit, however large its pieces are', async () => {
    for (const chunkPages of [4, 64]) {
      const pool = new SharedPool(chunkPages * PAGE, 7 * PAGE + 100);
      const held = [await pool.allocate(4 * PAGE), await pool.allocate(2 * PAGE), await pool.allocate(PAGE)];
      assert.ok(!held.includes(null), `pieces of ${chunkPages} pages`);
      assert.equal(await pool.allocate(PAGE), null);
    }
  });

  it('is known no more to connections that have ended', async () => {
    const regions: number[] = [];
    const socket = new RegionSocket(`kafabric-test-${randomBytes(8).toString('hex')}`, [], {
      onOffer: ({ region }) => {
        regions.push(region);
        return region;
      },
      onMap: () => -1,
      onGone: () => undefined,
    });
    const pool = new SharedPool(PAGE, 2 * PAGE);
    const used = (await pool.allocate(PAGE))!;
    const { chunk } = pool.locate(used.bytes)!;
    const connections = [new FakeConnection(socket.name), new FakeConnection(socket.name)];
    for (const connection of connections) {
      const attachment = await ClientAttachment.attach(
        connection as unknown as Connection,
        'shared-memory',
        {},
      );
      await attachment.regionOf(chunk);
      connection.releases = 0;
    }
    connections[0]!.close();
    used.release();
    assert.equal((await pool.allocate(2 * PAGE))?.bytes.byteLength, 2 * PAGE, 'the first piece is gone');
    assert.deepEqual(
      connections.map(({ releases }) => releases),
      [0, 1],
    );
    socket.close();
    for (const region of regions) closeRegion(region);
  });
});
