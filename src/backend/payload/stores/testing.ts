import assert from 'node:assert/strict';
import { NativeMemory } from '../../../native/arena.ts';
import { crc32c } from '../../../native/batch.ts';
import type { StoreConnection } from './store-connection.ts';

/** A name that a store takes. */
export const FILE = `t-0.AAAAAAAAAAAAAAAAAAAABQ/${'7'.padStart(20, '0')}-0123456789abcdef`;
/** Of the transports of both ends. */
export const FABRIC_OPTIONS = { library: '', pieceBytes: 65_536, window: 8, host: '127.0.0.1' };

/** Writes the same bytes so many times to a new file, reads the last of them back, has `look` look at the file, and removes it. */
export async function movesBytes(
  connection: StoreConnection,
  { length, times = 1 }: { readonly length: number; readonly times?: number },
  look: (written: Uint8Array) => Promise<void> = async () => undefined,
): Promise<void> {
  const source = NativeMemory.allocate(length)!;
  const sink = NativeMemory.allocate(length)!;
  source.bytes().forEach((_, i, bytes) => {
    bytes[i] = i * 7;
  });
  const order = { file: FILE, length, key: connection.key, timeoutMs: 5000 };
  await connection.request({ op: 'create', file: FILE });
  for (let position = 0; position < times * length; position += length) {
    const from = { ...order, position, source: source.arenaOffset };
    await connection.request({ op: 'append', ...from, fromMemory: true });
  }
  await connection.request({ op: 'sync', file: FILE });
  const into = { ...order, position: (times - 1) * length, seed: 0, target: sink.arenaOffset };
  const read = await connection.request({ op: 'read', ...into });
  assert.deepEqual(read, { crc: crc32c(source.bytes()), length });
  assert.ok(Buffer.from(sink.bytes()).equals(source.bytes()));
  await look(source.bytes());
  source.release();
  sink.release();
  await connection.request({ op: 'remove', file: FILE });
}
