import assert from 'node:assert/strict';
import type { Connection } from './connection.ts';
import { MappedBuffer, MappedChannel } from './mapped-memory.ts';

describe('a buffer of the memory of a gateway', () => {
  it('is made a batch where it is once: the gateway may have taken that over, whatever it has answered', () => {
    const range = { bytes: new Uint8Array(1 << 20), unmap: () => {} };
    const buffer = new MappedBuffer({} as MappedChannel, 1, range, 1000, () => {});
    const head = [Uint8Array.of(1, 2, 3)];
    const { region, length } = buffer.frame(head, [])!;
    assert.deepEqual({ region, length }, { region: -1, length: 1003 });
    const framed = Uint8Array.from(range.bytes);
    assert.equal(buffer.frame([Uint8Array.of(4, 5, 6)], []), null);
    assert.deepEqual(range.bytes, framed);
  });

  it('may be had later from a gateway that has ended since it said where', async () => {
    const connection = { isClosed: false } as Connection;
    const opened = MappedChannel.open(connection, 1n, 'kafabric-test-of-nobody', new Uint8Array(16));
    await assert.rejects(opened, { code: 'CONNECTION', retriable: true });
  });
});
