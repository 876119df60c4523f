import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import path from 'node:path';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { removeFile } from '../backend/payload/small-files.ts';
import { addressFile, writeAddress } from '../backend/payload/stores/addresses.ts';
import { StoreDirectory } from '../backend/payload/stores/process/store-directory.ts';
import { StoreServer } from '../backend/payload/stores/process/store-server.ts';
import type { StoresSecurity } from '../backend/payload/stores/tls/stores-tls.ts';
import { removeAbandonedMemory, writeAcknowledged } from '../broker/acknowledged-memory.ts';
import { assertArenaDirectory } from '../broker/arena-directory.ts';
import { keepRemovedSpace, prepareTiers } from '../broker/storage/preparation.ts';
import type { HttpAddress, KafabricConfig } from '../config/index.ts';
import { isLoopbackHost } from '../config/listeners.ts';
import { configureArena, openArena, releaseSharedArena, startTouchingArena } from '../native/arena.ts';
import { Store } from '../native/store.ts';
import { systemClock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { takeAll } from '../util/shutdown-steps.ts';
import { fabricSettings } from './fabric-settings.ts';
import { type HttpServer, startHttpServer } from './http/http-server.ts';
import { tierHealth } from './http/tier-health.ts';
import { arenaBytes } from './memory.ts';
import { exportFabric } from './metrics/fabric-metrics.ts';
import { exportTo } from './metrics/gateway-metrics.ts';
import { storeMetrics, storesTlsMetrics } from './metrics/store-metrics.ts';
import { tierMetrics } from './metrics/tier-metrics.ts';
import { SharedMemoryWatch } from './shared-memory-watch.ts';
import { ofStore, storesSecurity } from './store-settings.ts';
import { assertStoreTiers, openStoreTiers, storeCopyThreads, storePath } from './store-tiers.ts';
import { version } from './version.ts';

/** `kafabric store`: the payload tier alone, for gateways. */
export class StoreProcess {
  readonly #log: Logger;
  readonly #memory: SharedMemoryWatch;
  readonly #registry = new Registry();
  #state = 'starting';
  #http: HttpServer | null = null;
  #store: Store | null = null;
  #directory: StoreDirectory | null = null;
  #server: StoreServer | null = null;
  #addressFile: string | null = null;

  private constructor(log: Logger) {
    this.#log = log;
    this.#memory = new SharedMemoryWatch(log, systemClock);
  }

  /** Resolves when gateways are served. Rejects, with everything closed again, when it cannot start. */
  static async start(config: KafabricConfig, log: Logger): Promise<StoreProcess> {
    const started = new StoreProcess(log);
    try {
      await started.#start(config);
      return started;
    } catch (error) {
      await started.stop().catch(() => undefined);
      throw error;
    }
  }

  async #start(config: KafabricConfig): Promise<void> {
    const security = ofStore(storesSecurity(config, this.#log));
    assertStoreTiers(config);
    // What cannot be used is said before anything else is begun.
    await security.tls?.refresh();
    const at = storePath(config);
    const listener = storeListener(config);
    const memoryName = sharedName(at);
    await assertArenaDirectory(config);
    await removeAbandonedMemory(config, this.#log);
    configureArena(arenaBytes(config), memoryName, config.get('arena.directory'));
    await this.#startHttp(config.resolved.metricsListener);
    this.#state = 'looking at its files';
    const { store, directory } = await this.#open(config, at, memoryName);
    startTouchingArena();
    openArena();
    this.#memory.start();
    const server = await this.#serve(config, directory, security);
    directory.tiers.start();
    exportTo(this.#registry, tierMetrics(directory.tiers));
    exportTo(this.#registry, storeMetrics(server, directory, store));
    exportTo(this.#registry, storesTlsMetrics('kafabric_store', security.tls));
    exportFabric(this.#registry, () => server.transfers());
    this.#warnOfPlainPayload(listener.host, security.tls);
    await this.#announce(config, directory.id, server.port);
    this.#state = 'ready';
    const { id } = directory;
    this.#log.info(
      { store: id, address: `${listener.host}:${server.port}`, dir: at },
      'kafabric store is ready',
    );
  }

  async #open(config: KafabricConfig, at: string, memoryName: string) {
    const store = new Store({
      threads: config.get('num.io.threads'),
      direct: config.get('log.direct.io.enable'),
      maxQueuedBytes: arenaBytes(config),
      copyThreads: storeCopyThreads(config),
    });
    this.#store = store;
    const memory = {
      config,
      name: memoryName,
      dataDirectories: [at],
      replaceFile: (path: string, bytes: Uint8Array) => store.atomicWrite(path, bytes),
    };
    const directory = await StoreDirectory.open(at, store, () => writeAcknowledged(memory, this.#log), {
      clock: systemClock,
      logger: this.#log,
      openTiers: (id, isGateway) => openStoreTiers({ config, store, logger: this.#log }, id, isGateway),
    });
    this.#directory = directory;
    await prepareTiers(store, directory.tiers, config, this.#log);
    await keepRemovedSpace(store, at, config);
    return { store, directory };
  }

  async #serve(
    config: KafabricConfig,
    directory: StoreDirectory,
    security: StoresSecurity,
  ): Promise<StoreServer> {
    const listener = storeListener(config);
    const { wish, options } = fabricSettings(config);
    const bulk = { host: numericOrAny(listener.host), port: config.get('payload.store.bulk.port') };
    this.#server = await StoreServer.start({
      directory,
      ...security,
      zone: config.get('payload.store.zone'),
      ...listener,
      heartbeatMs: config.get('payload.store.heartbeat.ms'),
      fabric: { wish, options: { ...options, ...bulk } },
      clock: systemClock,
      logger: this.#log,
    });
    return this.#server;
  }

  #warnOfPlainPayload(host: string, tls: StoresSecurity['tls']): void {
    if (!isLoopbackHost(host) && !tls)
      this.#log.warn(
        {},
        'gateways show that they know the secret, but payload is not encrypted: use a network that you trust, or payload.stores.security.protocol=SSL',
      );
    if (tls?.settings.allowsUnencryptedPayload)
      this.#log.warn(
        {},
        'payload may go over libfabric, which encrypts nothing: use a network that you trust',
      );
  }

  async #announce(config: KafabricConfig, id: string, port: number): Promise<void> {
    const file = config.get('payload.store.address.file');
    if (file === '') return;
    const { host } = storeListener(config);
    const shown = host === '' || host === '0.0.0.0' || host === '::' ? hostname() : host;
    const advertised = config.get('payload.store.advertised.address');
    const own = shown.includes(':') ? `[${shown}]:${port}` : `${shown}:${port}`;
    const target = addressFile(file.endsWith('/') ? `${path.resolve(file)}/` : path.resolve(file), id);
    await writeAddress(target, advertised === '' ? own : advertised);
    this.#addressFile = target;
  }

  async #startHttp(address: HttpAddress | null): Promise<void> {
    collectDefaultMetrics({ register: this.#registry });
    if (address === null) return;
    this.#http = await startHttpServer({
      ...address,
      metrics: this.#registry,
      readiness: () => {
        const reasons = this.#troubles();
        return { ready: reasons.length === 0, reasons, ...tierHealth(this.#directory?.tiers) };
      },
      version,
    });
  }

  #troubles(): string[] {
    if (this.#state !== 'ready') return [this.#state];
    const { hasFailed, trouble } = this.#directory!;
    return hasFailed ? [trouble] : [];
  }

  /**
   * Ends what gateways have under way, waits for what is being written, flushes and closes the files. Safe to call at any stage of a start. What
   * fails is logged, and the rest is done nevertheless; rejects with the first failure.
   */
  async stop(): Promise<void> {
    this.#state = 'shutting down';
    await takeAll(this.#log, [
      async () => {
        if (this.#addressFile !== null) await removeFile(this.#addressFile);
      },
      () => (this.#server === null ? undefined : this.#directory?.endMoves()),
      () => this.#server?.stop(),
      () => this.#directory?.close(),
      () => this.#store?.shutdown(),
      async () => {
        this.#memory.stop();
        if (this.#store !== null && !releaseSharedArena())
          this.#log.error(
            {},
            'acknowledged payload could not be written; it stays in memory for the next start',
          );
      },
      () => this.#http?.close(),
    ]);
  }
}

/** Names the shared memory of whoever uses this directory, one at a time. */
function sharedName(directory: string): string {
  return createHash('sha256').update(`store\n${directory}`).digest('hex').slice(0, 24);
}

function storeListener(config: KafabricConfig): { host: string; port: number } {
  const address = config.get('payload.store.listener');
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535)
    throw new Error(`payload.store.listener=${address}: expected host:port`);
  return { host, port: Number(port) };
}

/** Bulk transfers listen on numeric addresses. */
function numericOrAny(host: string): string {
  return /^[\d.]+$|:/.test(host) ? host : '';
}
