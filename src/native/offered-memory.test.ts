import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { closeRegion, createSharedBuffer, offerSharedBuffer, RegionSocket } from './direct.ts';

const EACCES = 13;
const MEMORY = '/memfd:kafabric-client';

/** How often shared memory of this size is mapped here. */
function mappingsOf(bytes: number): number {
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return lines.filter((line) => {
    const [, start, end] = /^(\w+)-(\w+)/.exec(line) ?? [];
    return line.includes(MEMORY) && Number.parseInt(end!, 16) - Number.parseInt(start!, 16) === bytes;
  }).length;
}

describe('memory that is offered to another process', () => {
  let accepts = false;
  let look = (): void => {};
  let socket: RegionSocket;

  before(() => {
    socket = new RegionSocket(`kafabric-test-offers-${process.pid}`, [], {
      onOffer: ({ region }) => {
        look();
        return accepts ? region : -EACCES;
      },
      onMap: () => -EACCES,
      onGone: () => {},
    });
  });
  after(() => socket.close());

  it('is mapped when it is taken, and not before', async () => {
    // As no other test has it.
    const bytes = 7 * 4096;
    const shared = await createSharedBuffer(bytes);
    let offered = 0;
    look = () => {
      offered = mappingsOf(bytes);
    };
    accepts = false;
    assert.equal(await offerSharedBuffer(socket.name, new Uint8Array(16), shared, 60_000), -EACCES);
    assert.deepEqual([offered, mappingsOf(bytes)], [1, 1]);
    accepts = true;
    const region = await offerSharedBuffer(socket.name, new Uint8Array(16), shared, 60_000);
    assert.deepEqual([offered, mappingsOf(bytes)], [1, 2]);
    closeRegion(region);
    assert.equal(shared.buffer.byteLength, bytes);
  });
});
