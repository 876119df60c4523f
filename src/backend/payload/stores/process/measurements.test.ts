import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats, NativeMemory } from '../../../../native/arena.ts';
import { inspectFabric } from '../../../../native/fabric.ts';
import type { Way } from '../../../../native/fabric-choice.ts';
import { Store } from '../../../../native/store.ts';
import { type Clock, systemClock } from '../../../../util/clock.ts';
import { StoreConnection } from '../store-connection.ts';
import { connectionTo, fabricOf, PLAIN, startServer } from '../testing.ts';
import { StoreDirectory } from './store-directory.ts';
import type { StoreServer } from './store-server.ts';

const BYTES = 1 << 20;
const { providers } = await inspectFabric('');
const libfabric = providers.find(({ provider, domain }) => provider === 'tcp;ofi_rxm' && domain !== 'lo');
const ways: Way[] = libfabric === undefined ? [PLAIN] : [PLAIN, libfabric];

describe('A measurement of the way to a store', () => {
  const root = mkdtempSync(join(tmpdir(), 'measurements-'));
  let native: Store;
  let directory: StoreDirectory;
  let server: StoreServer;
  let memory: NativeMemory;
  const open: StoreConnection[] = [];

  before(async () => {
    native = new Store({ threads: 1 });
    directory = await StoreDirectory.open(join(root, 'store'), native, async () => undefined);
  });
  beforeEach(() => {
    memory = NativeMemory.allocate(BYTES)!;
  });
  afterEach(async () => {
    for (const connection of open.splice(0)) {
      connection.end('the test has ended');
      await connection.closed;
    }
    await server.stop();
    memory.release();
    assert.equal(arenaStats().usedBytes, 0);
  });
  after(async () => {
    await directory.close();
    await native.shutdown();
    rmSync(root, { recursive: true });
  });

  async function start(way: Way, clock: Clock = systemClock): Promise<void> {
    server = await startServer(directory, { fabric: fabricOf(way.provider), clock });
  }

  async function connected(way: Way, node = 1): Promise<StoreConnection> {
    const identity = { role: 'gateway', cluster: 'c', node } as const;
    const connection = await StoreConnection.open(connectionTo(server.port, { identity }, way));
    open.push(connection);
    return connection;
  }

  const range = () => ({ offset: memory.arenaOffset, length: BYTES });

  for (const way of ways)
    it(`says what is moved and what could be, both ways, over ${way.provider}`, async () => {
      await start(way);
      const connection = await connected(way);
      memory.bytes().fill(3);
      for (const write of [false, true, false]) {
        const measured = await connection.measure(write, range());
        for (const [name, value] of Object.entries(measured)) assert.ok(value > 0, name);
      }
      // Nothing of what the store had in its memory.
      assert.ok(memory.bytes().every((byte) => byte === 0));
      assert.ok((await connection.request({ op: 'status' })).freeBytes > 0);
    });

  it('touches only what the gateway has published, and only with an answer to what was begun', async () => {
    await start(PLAIN);
    const connection = await connected(PLAIN);
    const order = { op: 'measure', write: true, answer: '', ...range(), timeoutMs: 1000 } as const;
    const { key } = connection;
    const beyond = { ...order, key, offset: arenaStats().capacityBytes - 1 };
    await assert.rejects(connection.request(beyond), { code: 'ERANGE' });
    await assert.rejects(connection.request({ ...order, key: 'f' }), { code: 'EKEYREJECTED' });
    await assert.rejects(connection.request({ ...order, key }), { code: 'EINVAL' });
    await connection.measure(true, range());
    await assert.rejects(connection.request({ ...order, key }), { code: 'EINVAL' });
  });

  it('is one at a time, and given up when nobody answers', async () => {
    const timers: (() => void)[] = [];
    await start(PLAIN, {
      now: () => Date.now(),
      setTimer: (delayMs, action) => {
        if (delayMs !== 10_000) return systemClock.setTimer(delayMs, action);
        timers.push(action);
        return { cancel: () => undefined };
      },
    });
    const [first, second] = [await connected(PLAIN, 1), await connected(PLAIN, 2)];
    timers.length = 0;
    await first.request({ op: 'bare' });
    await assert.rejects(second.measure(false, range()), { code: 'EBUSY' });
    assert.equal(timers.length, 1);
    timers[0]!();
    const given = async () => second.measure(false, range());
    for (;;) {
      const measured = await given().catch((error: { code?: string }) => {
        assert.equal(error.code, 'EBUSY');
        return null;
      });
      if (measured !== null) break;
    }
    const late = { op: 'measure', write: true, answer: '', ...range(), timeoutMs: 1000 } as const;
    await assert.rejects(first.request({ ...late, key: first.key }), { code: 'EINVAL' });
  });

  it('that nobody answers does not outlive the store', async () => {
    await start(PLAIN);
    await (await connected(PLAIN)).request({ op: 'bare' });
    await server.stop();
    await start(PLAIN);
    await (await connected(PLAIN)).measure(true, range());
  });
});
