import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { closeRegion, createSharedBuffer, offerSharedBuffer, RegionSocket } from './direct.ts';

/** O_CLOEXEC on Linux, which Node does not name. */
const CLOSES_ON_EXEC = 0o2000000;
const EACCES = 13;
const MEMORY = '/memfd:kafabric-client';

/** For each descriptor of memory that is shared: whether programs that are started now do not have it. */
function sharedDescriptors(): boolean[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      if (!readlinkSync(`/proc/self/fd/${fd}`).startsWith(MEMORY)) return [];
      const [, flags] = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))!;
      return [(Number.parseInt(flags!, 8) & CLOSES_ON_EXEC) !== 0];
    } catch {
      return []; // the one that lists them
    }
  });
}

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

  it('is not that of programs that are started meanwhile', async () => {
    let found: boolean[] = [];
    look = () => {
      found = sharedDescriptors();
    };
    const shared = await createSharedBuffer(4096);
    accepts = false;
    assert.equal(await offerSharedBuffer(socket.name, new Uint8Array(16), shared, 60_000), -EACCES);
    assert.equal(shared.buffer.byteLength, 4096);
    // The owner's, the one under way, and the receiver's; and those of other tests.
    assert.ok(found.length >= 3);
    assert.ok(found.every((closes) => closes));
  });

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
