import type * as Kafka from '@platformatic/kafka';
import { StreamsError } from '../errors.ts';
import type { TopicPartition } from '../records.ts';
import { type Apis, apisOf, type Client } from './apis.ts';
import { BrokerError, isConnectionError, isId, isTransient } from './errors.ts';

const MIN_RETRY_MS = 20;
const MAX_RETRY_MS = 1000;
const MAX_IN_FLIGHT = 100;
const CONNECT_TIMEOUT_MS = 5000;
/** For all brokers that are tried. */
const CONNECT_DEADLINE_MS = 15_000;
const RETRY_FOR_MS = 30_000;
/** In the place of one. */
export const NO_LEADER = -1;

export interface ClusterOptions {
  /** `host:port`, one or more. */
  readonly bootstrap: readonly string[];
  readonly clientId: string;
  readonly tls?: Kafka.BaseOptions['tls'];
  readonly sasl?: Kafka.BaseOptions['sasl'];
  readonly requestTimeoutMs: number;
}

export interface TopicInfo {
  readonly id: string;
  /** Of each partition. */
  readonly leaders: readonly number[];
}

type Connection = Awaited<ReturnType<Kafka.Base['connections']['get']>>;
type Versions<A extends unknown[], R> = readonly Kafka.API<A, R>[];

export const CoordinatorType = { group: 0, transaction: 1 } as const;

/** @throws StreamsError NO_CLIENT */
export async function loadClient(): Promise<Client> {
  try {
    return await import('@platformatic/kafka');
  } catch (cause) {
    throw new StreamsError(
      'NO_CLIENT',
      'kafabric/streams talks to brokers through @platformatic/kafka 1.35 or a later 1.x, which cannot be loaded ' +
        `(${(cause as Error).message}); run: npm install @platformatic/kafka@1`,
      cause,
    );
  }
}

/**
 * Connections to the brokers, who leads what and who coordinates what, over the connections and codecs of @platformatic/kafka. A broker
 * answers the requests of one connection in turn, so what waits long (fetches, joins) has a `Cluster` of its own.
 */
export class Cluster {
  readonly apis: Apis;
  readonly #client: Client;
  readonly #base: Kafka.Base;
  readonly #bootstrap: { host: string; port: number }[];
  #ranges: ReadonlyMap<number, { minVersion: number; maxVersion: number }> | null = null;
  #brokers = new Map<number, { host: string; port: number }>();
  #topics = new Map<string, TopicInfo>();
  readonly #coordinators = new Map<string, number>();
  #controller = -1;
  /** Of calls to any broker: the next goes to another one, for the one before may be connected and not answer. */
  #failures = 0;
  #closed = false;

  /** @throws StreamsError INVALID_ARGUMENT */
  constructor(client: Client, options: ClusterOptions) {
    const { bootstrap, clientId, tls, sasl, requestTimeoutMs } = options;
    this.#client = client;
    this.apis = apisOf(client);
    this.#bootstrap = bootstrap.map(addressOf);
    this.#base = new client.Base({
      clientId,
      bootstrapBrokers: [...bootstrap],
      retries: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      maxInflights: MAX_IN_FLIGHT,
      ...(tls === undefined ? {} : { tls }),
      ...(sasl === undefined ? {} : { sasl }),
    } as Kafka.BaseOptions);
    // Failures are reported to who made the call; an event without a listener would end the process.
    this.#base.connections.on('connecting', ({ connection }) => {
      connection.on('error', () => undefined);
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The answer, also if it carries error codes. @throws errors of the client when there is none */
  async #call<A extends unknown[], R>(connection: Connection, versions: Versions<A, R>, args: A): Promise<R> {
    const api = await this.#choose(versions);
    try {
      return await api.async(connection, ...args);
    } catch (error) {
      const { response } = error as { response?: R };
      if (response !== undefined) return response;
      // What comes late on this connection would be taken for something else.
      if (isConnectionError(error)) void connection.close().catch(() => undefined);
      throw error;
    }
  }

  async #choose<A extends unknown[], R>(versions: Versions<A, R>): Promise<Kafka.API<A, R>> {
    if (this.#ranges === null) {
      const ranges = await this.#base.listApis();
      this.#ranges = new Map(ranges.map((range) => [range.apiKey, range]));
    }
    const range = this.#ranges.get(versions[0]!.key);
    const found = versions.find(
      ({ version }) => range !== undefined && version >= range.minVersion && version <= range.maxVersion,
    );
    if (found !== undefined) return found;
    throw new StreamsError(
      'BROKER',
      `the brokers do not serve API ${versions[0]!.key} in a version that is known (${versions.map(({ version }) => version).join(', ')}); use Apache Kafka 3.1 or newer`,
    );
  }

  async callAny<A extends unknown[], R>(versions: Versions<A, R>, ...args: A): Promise<R> {
    const known = [...this.#bootstrap, ...this.#brokers.values()];
    const first = this.#failures % known.length;
    try {
      const inTurn = [...known.slice(first), ...known.slice(0, first)];
      const connection = await connected(this.#base.connections.getFirstAvailable(inTurn));
      return await this.#call(connection, versions, args);
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }

  async callNode<A extends unknown[], R>(node: number, versions: Versions<A, R>, ...args: A): Promise<R> {
    const address = this.#brokers.get(node);
    if (address === undefined) {
      const what = node === NO_LEADER ? 'the leader of a partition' : `broker ${node}`;
      throw new BrokerError('LEADER_NOT_AVAILABLE', `find ${what}`);
    }
    return this.#call(await connected(this.#base.connections.get(address)), versions, args);
  }

  async callController<A extends unknown[], R>(versions: Versions<A, R>, ...args: A): Promise<R> {
    if (this.#controller < 0) await this.refresh([]);
    return this.callNode(this.#controller, versions, ...args);
  }

  /** @throws BrokerError unless the code is 0 */
  check(code: number, doing: string): void {
    if (code !== 0) throw new BrokerError(this.idOf(code), doing);
  }

  idOf(code: number): string {
    return this.#client.protocolErrorsCodesById[code] ?? `error ${code}`;
  }

  /** What the brokers say of topics now; null of those that do not exist. */
  async refresh(names: readonly string[]): Promise<Map<string, TopicInfo | null>> {
    const { brokers, topics, controllerId } = await this.callAny(
      this.apis.metadata,
      [...names],
      false,
      false,
    );
    this.#brokers = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    this.#controller = controllerId;
    const found = new Map<string, TopicInfo | null>();
    for (const { name, topicId, errorCode, partitions } of topics) {
      if (typeof name !== 'string') continue;
      if (this.idOf(errorCode) === 'UNKNOWN_TOPIC_OR_PARTITION') {
        this.#topics.delete(name);
        found.set(name, null);
        continue;
      }
      this.check(errorCode, `look up topic ${name}`);
      const leaders: number[] = [];
      for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
      const info = { id: topicId, leaders };
      this.#topics.set(name, info);
      found.set(name, info);
    }
    return found;
  }

  /** Forgets who leads and coordinates what: the next calls ask. */
  forget(): void {
    this.#topics.clear();
    this.#coordinators.clear();
  }

  /** @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION */
  async topic(name: string): Promise<TopicInfo> {
    const info = this.#topics.get(name) ?? (await this.refresh([name])).get(name) ?? null;
    if (info === null) throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `look up topic ${name}`);
    return info;
  }

  /** Partitions by who leads them; -1: none does, and calls to it say so. */
  async byLeader<T extends TopicPartition>(partitions: readonly T[]): Promise<Map<number, T[]>> {
    const groups = new Map<number, T[]>();
    for (const one of partitions) {
      const leader = (await this.topic(one.topic)).leaders[one.partition] ?? NO_LEADER;
      const others = groups.get(leader);
      if (others === undefined) groups.set(leader, [one]);
      else others.push(one);
    }
    return groups;
  }

  async coordinator(type: number, key: string): Promise<number> {
    const cached = this.#coordinators.get(`${type} ${key}`);
    if (cached !== undefined) return cached;
    const { coordinators } = await this.callAny(this.apis.findCoordinator, type, [key]);
    const found = coordinators[0];
    if (found === undefined)
      throw new BrokerError('COORDINATOR_NOT_AVAILABLE', `find the coordinator of ${key}`);
    this.check(found.errorCode, `find the coordinator of ${key}`);
    this.#brokers.set(found.nodeId, { host: found.host, port: found.port });
    this.#coordinators.set(`${type} ${key}`, found.nodeId);
    return found.nodeId;
  }

  async callCoordinator<A extends unknown[], R>(
    type: number,
    key: string,
    versions: Versions<A, R>,
    ...args: A
  ): Promise<R> {
    return this.callNode(await this.coordinator(type, key), versions, ...args);
  }

  /** Makes attempts until one succeeds, for at most `forMs` while errors are transient. */
  async retry<T>(attempt: () => Promise<T>, forMs = RETRY_FOR_MS): Promise<T> {
    const deadline = performance.now() + forMs;
    for (let wait = MIN_RETRY_MS; ; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
      try {
        return await attempt();
      } catch (error) {
        if (this.#closed || !isTransient(error) || performance.now() + wait > deadline) throw error;
        if (!isId(error, 'CONCURRENT_TRANSACTIONS', 'UNSTABLE_OFFSET_COMMIT')) this.forget();
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#base.close().catch(() => undefined);
  }
}

/** The client gives no answer about a connection that fails just when it is asked for. */
function connected<T>(connecting: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new BrokerError('NETWORK_EXCEPTION', 'connect to a broker');
    timer = setTimeout(() => reject(error), CONNECT_DEADLINE_MS);
  });
  return Promise.race([connecting, late]).finally(() => clearTimeout(timer));
}

function addressOf(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon > 0 && Number.isInteger(port) && port > 0 && port < 65_536)
    return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port };
  throw new StreamsError('INVALID_ARGUMENT', `bootstrap "${text}" is no address; give host:port`);
}
