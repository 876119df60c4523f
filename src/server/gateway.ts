import { availableParallelism } from 'node:os';
import { removeAbandonedMemory, sharedMemoryName } from '../broker/acknowledged-memory.ts';
import { assertArenaDirectory } from '../broker/arena-directory.ts';
import { EmbeddedBroker } from '../broker/embedded-broker.ts';
import type { AdvertisedListener, HttpAddress, KafabricConfig, Listener } from '../config/index.ts';
import { isDirect } from '../config/listeners.ts';
import { configureArena, openArena, releaseSharedArena, startTouchingArena } from '../native/arena.ts';
import type { NetOptions } from '../native/net.ts';
import { ApiKey } from '../protocol/api-keys.ts';
import { systemClock } from '../util/clock.ts';
import { freePort } from '../util/free-port.ts';
import type { LeveledLogger } from '../util/logger.ts';
import { takeAll } from '../util/shutdown-steps.ts';
import { fabricSettings } from './fabric-settings.ts';
import { apiVersionsHandler } from './handlers/18-api-versions.ts';
import { brokerHandlers, directHandlers } from './handlers/index.ts';
import { type HttpServer, startHttpServer } from './http/http-server.ts';
import { logDirTroubles } from './http/log-dir-health.ts';
import { tierHealth } from './http/tier-health.ts';
import { arenaBytes, maxRequestBytes } from './memory.ts';
import { brokerMetrics } from './metrics/broker-metrics.ts';
import { exportClientMetrics } from './metrics/client-metrics.ts';
import { GatewayMetrics } from './metrics/gateway-metrics.ts';
import { listenerTlsMetrics } from './metrics/listener-tls-metrics.ts';
import { networkMetrics } from './metrics/network-metrics.ts';
import { storePeerMetrics } from './metrics/store-peer-metrics.ts';
import type { AnyHandler } from './net/handler.ts';
import { KafkaListeners } from './net/listener.ts';
import { HandlerRegistry } from './net/registry.ts';
import { SharedMemoryWatch } from './shared-memory-watch.ts';
import { storesSecurity } from './store-settings.ts';
import { ListenerTls } from './tls/listener-tls.ts';
import { version } from './version.ts';

/** How long requests in flight may take to be answered when the gateway stops. */
const SHUTDOWN_DEADLINE_MS = 5_000;
/** What answers to one connection may hold of the arena until its client has taken them. */
const UNSENT_SHARE = 0.25;

export interface GatewayOptions {
  readonly config: KafabricConfig;
  readonly log: LeveledLogger;
}

/** The whole program: the Kafka listeners in front of the embedded broker, and the operators' HTTP listener. */
export class Gateway {
  readonly #log: LeveledLogger;
  readonly #memory: SharedMemoryWatch;
  readonly #metrics = new GatewayMetrics(version);
  #state = 'starting';
  #http: HttpServer | null = null;
  #broker: EmbeddedBroker | null = null;
  #listeners: KafkaListeners | null = null;
  /** Null: no listener speaks TLS. */
  readonly #tls: ListenerTls[] = [];

  private constructor(log: LeveledLogger) {
    this.#log = log;
    this.#memory = new SharedMemoryWatch(log, systemClock);
  }

  /** Resolves when clients are served. Rejects, with everything closed again, when it cannot start. */
  static async start({ config, log }: GatewayOptions): Promise<Gateway> {
    const gateway = new Gateway(log);
    try {
      await gateway.#start(config);
      return gateway;
    } catch (error) {
      await gateway.stop().catch(() => undefined);
      throw error;
    }
  }

  async #start(config: KafabricConfig): Promise<void> {
    await assertArenaDirectory(config);
    await removeAbandonedMemory(config, this.#log);
    const { listenerTls, logDirs, metricsListener } = config.resolved;
    configureArena(arenaBytes(config), sharedMemoryName(logDirs), config.get('arena.directory'));
    for (const tls of listenerTls)
      this.#tls.push(await ListenerTls.open(tls, systemClock, this.#log.child({ component: 'network' })));
    await this.#startHttp(metricsListener);
    const { listeners, advertised } = await withRealPorts(config);
    this.#state = 'recovering logs';
    this.#broker = await EmbeddedBroker.open({
      config,
      clock: systemClock,
      logger: this.#log,
      loggers: this.#log.levels,
      endpoints: advertised,
      storeAccess: { fabric: fabricSettings(config), ...storesSecurity(config, this.#log) },
    });
    // Not before what another process left in memory is written.
    startTouchingArena();
    this.#memory.start({ direct: config.get('log.direct.io.enable') });
    this.#metrics.export(brokerMetrics(this.#broker));
    exportClientMetrics(this.#metrics.registry, this.#broker.telemetry);
    this.#metrics.export(storePeerMetrics(this.#broker.stores));
    await this.#listen(config, this.#broker, listeners, advertised);
    // Takes a tenth of a second, which the listener need not wait for.
    openArena();
    this.#state = 'ready';
    this.#log.info(
      {
        listeners: listeners.map(({ name, host, port }) => `${name}://${host}:${port}`),
        clusterId: this.#broker.metadata.clusterId,
        dirs: config.resolved.logDirs,
      },
      'kafabric is ready',
    );
  }

  async #startHttp(address: HttpAddress | null): Promise<void> {
    if (address === null) return;
    this.#http = await startHttpServer({
      ...address,
      metrics: this.#metrics.registry,
      readiness: () => ({
        ...this.#readiness(),
        stores: this.#broker?.stores.peers.map(({ address, circuit }) => ({ address, circuit })) ?? [],
        ...tierHealth(this.#broker?.tiers),
      }),
      version,
    });
  }

  #readiness(): { ready: boolean; reasons: string[] } {
    const directories = this.#broker?.logs.directories ?? [];
    const reasons = this.#state === 'ready' ? logDirTroubles(directories) : [this.#state];
    return { ready: reasons.length === 0, reasons };
  }

  async #listen(
    config: KafabricConfig,
    broker: EmbeddedBroker,
    listeners: readonly Listener[],
    advertised: readonly AdvertisedListener[],
  ): Promise<void> {
    const handlers = brokerHandlers(broker, advertised);
    const registry = registryOf(handlers, broker);
    const directRegistry = registryOf(directHandlers(broker, handlers), broker);
    this.#listeners = new KafkaListeners({
      net: netOptions(config),
      registry,
      logger: this.#log.child({ component: 'network' }),
      metrics: this.#metrics,
      clock: systemClock,
      requestQuota: broker.clientQuotas.request,
      connectionQuota: broker.clientQuotas.connections,
      maxOutstandingBytes: Math.min(config.get('direct.max.unsent.bytes'), arenaBytes(config) * UNSENT_SHARE),
    });
    const kafkaListeners = this.#listeners;
    const brokerConfigChanged = (changed: KafabricConfig) =>
      kafkaListeners.setReferenceMinBytes(changed.get('payload.min.bytes'));
    broker.metadata.addListener({ brokerConfigChanged });
    brokerConfigChanged(broker.metadata.config);
    this.#metrics.export(networkMetrics(this.#listeners));
    this.#metrics.export(listenerTlsMetrics(this.#tls));
    for (const listener of listeners) {
      const tls = this.#tls.find(({ listeners }) => listeners.includes(listener.name));
      const material = tls?.material ?? null;
      await this.#listeners.listen(listener, isDirect(listener) ? directRegistry : registry, material);
    }
    for (const tls of this.#tls) tls.onRenewed((material) => kafkaListeners.setTls(tls.listeners, material));
  }

  /** Stops accepting, answers what is in flight, flushes and closes everything. Safe to call at any stage of a start. See `takeAll`. */
  async stop(): Promise<void> {
    this.#state = 'shutting down';
    this.#listeners?.stopAccepting();
    for (const tls of this.#tls) tls.close();
    // Transactions stay as they are; members that wait for a rebalance are answered, so that the listeners need not wait for them.
    this.#broker?.transactions.close();
    this.#broker?.groups.close();
    await takeAll(this.#log, [
      () => this.#listeners?.shutdown(SHUTDOWN_DEADLINE_MS),
      () => this.#broker?.close(),
      async () => {
        this.#memory.stop();
        if (!releaseSharedArena())
          this.#log.error(
            {},
            'acknowledged records could not be written; they stay in memory for the next start',
          );
      },
      () => this.#http?.close(),
    ]);
  }
}

const TELEMETRY: ReadonlySet<number> = new Set([ApiKey.GetTelemetrySubscriptions, ApiKey.PushTelemetry]);

function registryOf(handlers: readonly AnyHandler[], broker: EmbeddedBroker): HandlerRegistry {
  const registry = new HandlerRegistry(handlers);
  // Clients ask for subscriptions as soon as they may, and librdkafka up to 2.15 can crash when there are none.
  const isAnnounced = (apiKey: number) => !TELEMETRY.has(apiKey) || broker.telemetry.isWanted;
  registry.add(apiVersionsHandler({ registry, features: () => features(broker), isAnnounced }));
  return registry;
}

/** `port 0` becomes a port that is free now: what clients are told is recorded before the listeners open. */
async function withRealPorts(config: KafabricConfig) {
  const listeners: Listener[] = [];
  for (const listener of config.resolved.listeners) {
    listeners.push(listener.port === 0 ? { ...listener, port: await freePort(listener.host) } : listener);
  }
  const advertised = config.resolved.advertisedListeners.map((endpoint, index) =>
    endpoint.port === 0 ? { ...endpoint, port: listeners[index]!.port } : endpoint,
  );
  return { listeners, advertised };
}

function netOptions(config: KafabricConfig): Partial<NetOptions> {
  const orSystems = (bytes: number) => Math.max(bytes, 0);
  const queued = config.get('queued.max.request.bytes');
  return {
    threads: Math.min(config.get('num.network.threads'), Math.ceil(availableParallelism() / 2)),
    maxFrameBytes: maxRequestBytes(config),
    maxInFlightBytes: queued > 0 ? queued : arenaBytes(config) / 2,
    maxConnections: config.get('max.connections'),
    maxConnectionsPerIp: config.get('max.connections.per.ip'),
    idleMs: Math.max(config.get('connections.max.idle.ms'), 0),
    backlog: config.get('socket.listen.backlog.size'),
    busyPollMicros: config.get('socket.busy.poll.us'),
    sendBufferBytes: orSystems(config.get('socket.send.buffer.bytes')),
    receiveBufferBytes: orSystems(config.get('socket.receive.buffer.bytes')),
  };
}

function features({ metadata }: EmbeddedBroker) {
  return {
    supported: metadata.supportedFeatures.map(({ name, minLevel, maxLevel }) => ({
      name,
      minVersion: minLevel,
      maxVersion: maxLevel,
    })),
    finalized: [...metadata.finalizedFeatures].map(([name, level]) => ({
      name,
      minVersionLevel: level,
      maxVersionLevel: level,
    })),
    finalizedEpoch: metadata.brokerEpoch,
  };
}
