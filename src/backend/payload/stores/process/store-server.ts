import { createServer, type Server, type Socket } from 'node:net';
import { arenaStats } from '../../../../native/arena.ts';
import {
  FabricTransport,
  inspectFabric,
  PEER_READS,
  type TransferStatistics,
  type TransportOptions,
  type TransportStatistics,
} from '../../../../native/fabric.ts';
import { type FabricWish, hostIdentity, type Way } from '../../../../native/fabric-choice.ts';
import type { Clock, Timer } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import type { Identity } from '../authentication.ts';
import { frameOf } from '../frames.ts';
import type { StoreStatus } from '../messages.ts';
import { StoreConnection } from '../store-connection.ts';
import { splitAddress } from '../store-peer.ts';
import type { StoresSecurity } from '../tls/stores-tls.ts';
import { storeWays } from '../tls/ways.ts';
import { ArenaQueue } from './arena-queue.ts';
import { ByteTurns } from './byte-turns.ts';
import { Measurements } from './measurements.ts';
import { Operations, READ_BYTES, type StoreCounters } from './operations.ts';
import { Relays } from './relays.ts';
import type { StoreDirectory } from './store-directory.ts';
import { GREETING_MS, StoreSession } from './store-session.ts';
import { PIECE_BYTES } from './stored-file-parts.ts';

const MEASURE_MS = 1000;
/** Of what a status says about the disk. */
const MAX_TROUBLE = 1000;
/** Connections that have not said who they are, and gateways. */
const MAX_SESSIONS = 1024;
/** Of these, connections that have not said who they are: they take no place of gateways. */
const MAX_GREETING = 128;
/** How often refused connections are logged at most. */
const REFUSED_WARNING_MS = 1000;
/** How long one that is refused may take to hear why. */
const REFUSED_STAYS_MS = 1000;
/** What appends may have of the arena; reads find the rest. */
const APPEND_SHARE = 0.75;
/** The same for appends that are passed on. */
const PASSED_SHARE = 0.375;
/** What reads of one gateway may have of it, as answers to one client of a gateway may of its arena. */
const READ_SHARE = 0.25;

export interface StoreServerOptions extends StoresSecurity {
  readonly directory: StoreDirectory;
  readonly zone: string;
  /** Where gateways connect to. */
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  readonly heartbeatMs: number;
  readonly fabric: { readonly wish: FabricWish; readonly options: TransportOptions };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A store: serves gateways, each of which has its own files. */
export class StoreServer {
  readonly counters: StoreCounters = {
    writtenBytes: 0,
    readBytes: 0,
    checkedBytes: 0,
    operations: 0,
    failures: 0,
  };
  readonly #options: StoreServerOptions;
  readonly #server: Server;
  /** Begins TLS on a connection; without it that serves as it is. */
  readonly #secure: ((socket: Socket) => void) | undefined;
  /** Connections that have not begun TLS, by where they come from. */
  readonly #handshakes = new Map<string, Socket>();
  readonly #sessions = new Set<StoreSession>();
  readonly #transports = new Map<string, Promise<FabricTransport>>();
  readonly #opened: FabricTransport[] = [];
  readonly #memory: ArenaQueue;
  readonly #measurements: Measurements;
  readonly #passed: ArenaQueue;
  readonly #ways: readonly Way[];
  readonly #host = hostIdentity();
  /** Sessions that end. */
  readonly #ending = new Map<StoreSession, Promise<void>>();
  #timer: Timer | null = null;
  #refused = 0;
  #warnedMs = 0;

  private constructor(options: StoreServerOptions, ways: readonly Way[]) {
    this.#options = options;
    this.#ways = ways;
    const { capacityBytes } = arenaStats();
    const least = Math.min(capacityBytes, 2 * PIECE_BYTES);
    this.#memory = new ArenaQueue(options.clock, Math.max(least, capacityBytes * APPEND_SHARE));
    this.#passed = new ArenaQueue(options.clock, Math.max(least / 2, capacityBytes * PASSED_SHARE));
    this.#measurements = new Measurements(this.#memory, options.clock, options.fabric.options);
    options.directory.onDiskChange(() => this.#tell());
    this.#server = createServer((socket) => this.#accept(socket));
    this.#secure = options.tls?.acceptor(GREETING_MS, {
      secured: (socket) => this.#serve(socket),
      refused: (reason, socket) => this.#refuse(reason, socket),
    });
  }

  /** Rejects with an Error for people when it cannot listen, or not have the provider that it is to use. */
  static async start(options: StoreServerOptions): Promise<StoreServer> {
    const report = await inspectFabric(options.fabric.options.library);
    await options.tls?.refresh();
    const server = new StoreServer(options, storeWays(report, options.fabric.wish, options.tls));
    await server.#listen();
    server.#measure();
    return server;
  }

  #listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, ...(host === '' ? {} : { host }) }, () => {
        this.#server.off('error', reject);
        // Of connections that the system cannot give, as when descriptors run out.
        this.#server.on('error', ({ message }) => this.#warnOfRefused({ reason: message }));
        resolve();
      });
    });
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Gateways that are attached, by provider. */
  get attached(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { provider } of this.#sessions)
      if (provider !== '') counts.set(provider, (counts.get(provider) ?? 0) + 1);
    return counts;
  }

  /** What the transports have done, in all and for each gateway that is attached: `<cluster>.<node>`. */
  transfers(): {
    provider: string;
    domain: string;
    statistics: TransportStatistics;
    peers: Map<string, TransferStatistics>;
  }[] {
    return this.#opened.map((transport) => {
      const statistics = transport.statistics();
      const peers = new Map<string, TransferStatistics>();
      for (const { target, identity } of this.#sessions) {
        const its = target?.transport === transport ? statistics.peers[target.peer] : undefined;
        if (its !== undefined) peers.set(nameOf(identity!), its);
      }
      return { provider: transport.provider, domain: transport.domain, statistics, peers };
    });
  }

  /** Connections that could not show that they know the secret, or sent nonsense before. */
  get refused(): number {
    return this.#refused;
  }

  status(): StoreStatus {
    const { directory, clock } = this.#options;
    const { capacityBytes, freeBytes, usedBytes, files, draining } = directory;
    const { trouble } = directory;
    const outage = directory.tiers.outage?.slice(0, MAX_TROUBLE);
    const status = { capacityBytes, freeBytes, usedBytes, files, draining, nowMs: clock.now(), outage };
    return trouble === '' ? status : { ...status, freeBytes: 0, trouble: trouble.slice(0, MAX_TROUBLE) };
  }

  async setDraining(on: boolean): Promise<void> {
    await this.#options.directory.setDraining(on);
    this.#options.logger.info({ draining: on }, on ? 'the store is being drained' : 'draining has ended');
    this.#tell();
  }

  #tell(): void {
    for (const session of this.#sessions) session.tell();
  }

  /** Requests that wait for memory. */
  get waitingForMemory(): number {
    return this.#memory.waiting;
  }

  #measure(): void {
    this.#timer = this.#options.clock.setTimer(MEASURE_MS, () => {
      const { directory, logger, tls } = this.#options;
      void tls?.refresh();
      void directory
        .measure()
        .catch((error: unknown) => logger.warn({ err: error }, 'the room of the store cannot be found'))
        .finally(() => {
          if (this.#timer !== null) this.#measure();
        });
    });
  }

  #accept(socket: Socket): void {
    let greeting = this.#handshakes.size;
    for (const { isGreeting } of this.#sessions) if (isGreeting) greeting++;
    if (this.#sessions.size >= MAX_SESSIONS || greeting >= MAX_GREETING) {
      this.#refused++;
      socket.destroy();
      return;
    }
    if (this.#secure === undefined) {
      this.#serve(socket);
      return;
    }
    const remote = remoteOf(socket);
    this.#handshakes.set(remote, socket);
    socket.once('close', () => this.#handshakes.delete(remote));
    // Nobody else hears of what happens before TLS begins.
    socket.on('error', () => undefined);
    this.#secure(socket);
  }

  /** Its certificate is not liked, or TLS did not begin. */
  #refuse(reason: string, socket: Socket | null): void {
    this.#refused++;
    this.#warnOfRefused({ remote: socket && remoteOf(socket), reason });
    if (socket === null) return;
    this.#handshakes.delete(remoteOf(socket));
    socket.on('error', () => undefined);
    socket.end(frameOf(JSON.stringify({ type: 'refused', reason: reason.slice(0, MAX_TROUBLE) })));
    // What it says does not matter, and it does not stay.
    socket.resume();
    this.#options.clock.setTimer(REFUSED_STAYS_MS, () => socket.destroy());
  }

  #serve(socket: Socket): void {
    this.#handshakes.delete(remoteOf(socket));
    const { secret, zone, heartbeatMs, clock, logger, directory } = this.#options;
    const session = new StoreSession(socket, {
      secret,
      store: { id: directory.id, zone, host: this.#host },
      heartbeatMs,
      ways: this.#ways,
      open: (way) => this.#open(way),
      status: () => this.status(),
      admit: (admitted) => this.#admit(admitted),
      closed: (closed, reason) => this.#closed(closed, reason),
      clock,
      logger,
    });
    this.#sessions.add(session);
  }

  /** A gateway has one session: an older one is of a process that is gone, or of a connection that is. */
  async #admit(session: StoreSession): Promise<Operations> {
    const { directory, clock } = this.#options;
    const { identity } = session;
    if (identity!.role !== 'operator') {
      const isSame = (other: StoreSession) =>
        other !== session &&
        other.identity?.role === identity!.role &&
        nameOf(other.identity) === nameOf(identity!);
      for (const other of this.#sessions) if (isSame(other)) other.end('the gateway has connected anew');
      await Promise.all([...this.#ending].flatMap(([other, ended]) => (isSame(other) ? ended : [])));
    }
    const files = await directory.filesOf(identity!);
    if (identity!.role === 'gateway') files.onEndWanted((file) => session.endFile(file));
    return new Operations({
      files,
      memory: this.#memory,
      reads: new ByteTurns(clock, Math.max(READ_BYTES, arenaStats().capacityBytes * READ_SHARE)),
      disk: directory.disk,
      measurements: this.#measurements,
      passed: this.#passed,
      relays: new Relays(clock, (address, signal) => this.#relay(identity!, address, signal)),
      counters: this.counters,
      status: () => this.status(),
      setDraining: (on) => this.setDraining(on),
      clock,
    });
  }

  /** A connection to another store, which takes from here what the gateway has this one pass on. */
  #relay({ cluster, node }: Identity, address: string, signal: AbortSignal): Promise<StoreConnection> {
    const { secret, tls, clock, heartbeatMs, fabric, directory } = this.#options;
    return StoreConnection.open({
      ...splitAddress(address),
      ...{ secret, tls, signal },
      identity: { role: 'store', cluster, node, via: directory.id },
      requestTimeoutMs: heartbeatMs,
      clock,
      fabric: {
        ways: this.#ways,
        host: this.#host,
        arenaBytes: arenaStats().capacityBytes,
        access: PEER_READS,
        open: (way) => FabricTransport.open(way, { ...fabric.options, listen: false }),
      },
    });
  }

  #closed(session: StoreSession, reason: string): void {
    this.#sessions.delete(session);
    const fields = { gateway: session.identity, remote: session.remote, reason };
    if (session.identity === null) {
      this.#refused++;
      this.#warnOfRefused(fields);
    } else if (session.identity.role !== 'operator') this.#options.logger.info(fields, 'gateway is gone');
    const ended = session.idle().finally(() => this.#ending.delete(session));
    this.#ending.set(session, ended);
  }

  /** Not of each, where somebody tries all the time. */
  #warnOfRefused(fields: object): void {
    const now = this.#options.clock.now();
    if (now - this.#warnedMs < REFUSED_WARNING_MS) return;
    this.#warnedMs = now;
    this.#options.logger.warn({ ...fields, refused: this.#refused }, 'a connection was refused');
  }

  /** One for each way, for all gateways. */
  #open(way: Way): Promise<FabricTransport> {
    const key = JSON.stringify(way);
    let opened = this.#transports.get(key);
    if (opened === undefined) {
      opened = this.#openNow(way);
      this.#transports.set(key, opened);
      opened.catch(() => this.#transports.delete(key));
    }
    return opened;
  }

  async #openNow(way: Way): Promise<FabricTransport> {
    const transport = await FabricTransport.open(way, this.#options.fabric.options);
    try {
      await transport.registerArena();
    } catch (error) {
      await transport.close();
      throw error;
    }
    this.#opened.push(transport);
    return transport;
  }

  /** What is under way of gateways ends or fails; files are closed by whoever has the directory. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#handshakes.values()) socket.destroy();
    for (const session of [...this.#sessions]) session.end('the store stops');
    await Promise.all(this.#ending.values());
    await this.#measurements.close();
    await closed;
    this.#opened.length = 0;
    for (const transport of this.#transports.values()) await (await transport.catch(() => null))?.close();
  }
}

/** Of a gateway, and by which store, if one passes on for it. */
const nameOf = ({ cluster, node, via }: Identity) =>
  via === undefined ? `${cluster}.${node}` : `${cluster}.${node} by ${via}`;

const remoteOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress}:${remotePort}`;
