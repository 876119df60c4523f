import assert from 'node:assert/strict';
import { arenaStats, NativeMemory } from '../../../native/arena.ts';
import { crc32c } from '../../../native/batch.ts';
import { FabricTransport, PLAIN_TCP } from '../../../native/fabric.ts';
import type { Way } from '../../../native/fabric-choice.ts';
import { systemClock } from '../../../util/clock.ts';
import { silentLogger } from '../../../util/logger.ts';
import type { StoreDirectory } from './process/store-directory.ts';
import { StoreServer, type StoreServerOptions } from './process/store-server.ts';
import type { ConnectionOptions, StoreConnection } from './store-connection.ts';

/** What stores and gateways know. */
export const SECRET = 'a secret for tests only';
/** A name that a store takes. */
export const FILE = `t-0.AAAAAAAAAAAAAAAAAAAABQ/${'7'.padStart(20, '0')}-0123456789abcdef`;
/** Of the transports of both ends. */
export const FABRIC_OPTIONS = { library: '', pieceBytes: 65_536, window: 8, host: '127.0.0.1' };
export const PLAIN: Way = { provider: PLAIN_TCP, domain: '', network: '' };

/** How payload moves at a store or a gateway. @param provider `fabric.provider`; empty for what is chosen unasked */
export function fabricOf(provider = PLAIN_TCP): StoreServerOptions['fabric'] {
  return { wish: { provider, domain: '' }, options: FABRIC_OPTIONS };
}

/** A store in this process, at any port of the loopback interface. */
export function startServer(
  directory: StoreDirectory,
  changes: Partial<StoreServerOptions> = {},
): Promise<StoreServer> {
  return StoreServer.start({
    directory,
    secret: SECRET,
    zone: '',
    host: '127.0.0.1',
    port: 0,
    heartbeatMs: 60_000,
    fabric: fabricOf(),
    clock: systemClock,
    logger: silentLogger,
    ...changes,
  });
}

/** How a gateway connects to a store, as if from another machine. */
export function connectionTo(
  port: number,
  changes: Partial<ConnectionOptions> = {},
  way = PLAIN,
): ConnectionOptions {
  return {
    host: '127.0.0.1',
    port,
    secret: SECRET,
    identity: { role: 'gateway', cluster: 'c', node: 1 },
    requestTimeoutMs: 60_000,
    clock: systemClock,
    fabric: {
      ways: [way],
      host: 'another',
      arenaBytes: arenaStats().capacityBytes,
      open: (chosen) => FabricTransport.open(chosen, { ...FABRIC_OPTIONS, listen: false }),
    },
    ...changes,
  };
}

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
