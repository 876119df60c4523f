import { randomBytes } from 'node:crypto';
import { Client, type ClientOptions } from '../../src/client/index.ts';
import { inspectFabric } from '../../src/native/fabric.ts';
import { freePort } from '../../src/util/free-port.ts';
import { type Broker, startBroker } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { TcpProxy } from '../harness/tcp-proxy.ts';

/** Time-outs of a client on slow machines. */
export const patient = { connectTimeoutMs: 10_000 * patience, requestTimeoutMs: 30_000 * patience };

/** What of libfabric there is without a card: over the loopback interface. */
export const FABRIC = { provider: 'tcp;ofi_rxm', domain: 'lo' };

export async function hasFabric(): Promise<boolean> {
  const { providers } = await inspectFabric('');
  return providers.some(({ provider, domain }) => provider === FABRIC.provider && domain === FABRIC.domain);
}

/** A gateway with a listener for Kafka clients and a direct one. */
export interface DirectGateway {
  readonly broker: Broker;
  /** For Kafka clients. */
  readonly bootstrap: string;
  /** For direct ones. */
  readonly direct: string;
  connect(options?: Partial<ClientOptions>): Promise<Client>;
}

/** @param dir where its data lies; removed at the end when absent */
export async function startDirectGateway(
  overrides: Record<string, string> = {},
  dir?: string,
): Promise<DirectGateway> {
  const direct = `127.0.0.1:${await freePort()}`;
  return startAt(direct, direct, overrides, dir);
}

/** A gateway, and a client of it, for the tests of the `describe` that this is called in. */
export function directScene(): { readonly gateway: DirectGateway; readonly client: Client } {
  let gateway: DirectGateway;
  let client: Client;
  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });
  return {
    get gateway() {
      return gateway;
    },
    get client() {
      return client;
    },
  };
}

/** One that is behind a network which can fail: its clients know the proxy's address alone. */
export async function startProxiedGateway(
  overrides: Record<string, string> = {},
): Promise<DirectGateway & { readonly proxy: TcpProxy }> {
  const port = await freePort();
  const proxy = await TcpProxy.start(port);
  const advertised = { 'advertised.listeners': `DIRECT://${proxy.address}` };
  const gateway = await startAt(`127.0.0.1:${port}`, proxy.address, { ...overrides, ...advertised });
  return { ...gateway, proxy };
}

/** @param direct the address that clients know */
async function startAt(
  listener: string,
  direct: string,
  overrides: Record<string, string>,
  dir?: string,
): Promise<DirectGateway> {
  const place = dir === undefined ? {} : { dir };
  const broker = await startBroker({ overrides, listeners: [`DIRECT://${listener}`], ...place });
  return {
    broker,
    bootstrap: broker.bootstrap,
    direct,
    connect: (options = {}) =>
      Client.connect({ bootstrap: direct, sharedChunkBytes: 16 << 20, ...patient, ...options }),
  };
}

const noise = randomBytes(1 << 20);

/** `bytes` bytes that differ by `seed`. */
export function content(bytes: number, seed = 0): Buffer {
  const value = Buffer.alloc(bytes, noise.subarray((seed * 4099) % 65_536));
  if (bytes >= 4) value.writeInt32LE(seed);
  return value;
}

export async function collect<T>(count: number, next: () => Promise<T | null>): Promise<T[]> {
  const items: T[] = [];
  while (items.length < count) {
    const item = await next();
    if (item === null) throw new Error(`${items.length} of ${count} came`);
    items.push(item);
  }
  return items;
}
