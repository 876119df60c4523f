import type { TlsOptions } from './connection.ts';
import { DirectError } from './errors.ts';
import type { FabricChoice } from './fabric-path.ts';
import type { CustomForms, Modules } from './form-code.ts';
import type { Path } from './shared-memory.ts';

export interface ClientOptions {
  /** host:port of DIRECT listeners, one or several. */
  bootstrap: string | readonly string[];
  /** For the gateway's logs; default kafabric-client. */
  clientId?: string;
  /**
   * How data moves: shared memory where both are on one machine, else libfabric where both have a provider with RDMA, else TCP ('auto',
   * default); or one that has to be. 'mapped' lets this process use the gateway's memory, where the gateway trusts it.
   */
  path?: Path | 'auto';
  /** Which provider of libfabric carries data, where the path is 'fabric'. */
  fabric?: FabricChoice;
  /**
   * For listeners that speak TLS (DIRECT_SSL): which gateways are trusted, and who this client is; true: those that the CAs of the system vouch for.
   * Data that moves by shared memory stays on the machine; there is no path `fabric` then, for nothing encrypts it.
   */
  tls?: TlsOptions | boolean;
  /** Default 10 s. */
  connectTimeoutMs?: number;
  /** Default 30 s; requests that wait for others have longer. */
  requestTimeoutMs?: number;
  /** Shared memory is made in pieces of this size, for pushes and pulls. Default 64 MiB. */
  sharedChunkBytes?: number;
  /** Limit on it. Default 1 GiB. */
  sharedMaxBytes?: number;
  /** Validators, serializers, partition and data selectors that topics and groups name. */
  custom?: CustomForms;
  /** Modules that topics and groups may name; default none: what is stored at the gateway never makes this process load code unasked. */
  modules?: Modules;
  /** Ends the attempt to connect, with ABORTED. */
  signal?: AbortSignal;
}

const MIB = 1 << 20;
const PATHS: readonly string[] = ['auto', 'mapped', 'shared-memory', 'fabric', 'tcp'] satisfies (
  | Path
  | 'auto'
)[];

export interface CheckedClientOptions {
  readonly bootstrap: readonly { host: string; port: number }[];
  readonly clientId: string;
  readonly path: Path | 'auto';
  readonly fabric: FabricChoice;
  readonly tls: TlsOptions | undefined;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly sharedChunkBytes: number;
  readonly sharedMaxBytes: number;
}

/** Options with their defaults. @throws DirectError INVALID_ARGUMENT */
export function checkClientOptions(options: ClientOptions): CheckedClientOptions {
  const { bootstrap, clientId = 'kafabric-client', path = 'auto', fabric = {} } = options;
  const { connectTimeoutMs = 10_000, requestTimeoutMs = 30_000 } = options;
  const { sharedChunkBytes = 64 * MIB, sharedMaxBytes = 1024 * MIB } = options;
  const numbers = { connectTimeoutMs, requestTimeoutMs, sharedChunkBytes, sharedMaxBytes };
  for (const [name, value] of Object.entries(numbers))
    if (!(Number.isFinite(value) && value >= 1)) throw invalid(`${name} is ${value}, not at least 1`);
  if (!PATHS.includes(path)) throw invalid(`path is ${path}, not one of ${PATHS.join(', ')}`);
  const addresses = typeof bootstrap === 'string' ? bootstrap.split(',') : bootstrap;
  if (!Array.isArray(addresses) || addresses.length === 0)
    throw invalid('bootstrap says no address, host:port of a DIRECT listener');
  const tls = typeof options.tls === 'boolean' ? (options.tls ? {} : undefined) : options.tls;
  return { bootstrap: addresses.map(addressOf), clientId, path, fabric, tls, ...numbers };
}

function addressOf(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(String(text).trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw invalid(`"${text}" is not of the form host:port`);
  return { host: match[1] ?? match[2]!, port };
}

function invalid(message: string): DirectError {
  return new DirectError('INVALID_ARGUMENT', message, { doing: 'connect' });
}
