import type { Registry } from 'prom-client';
import { StreamsError } from '../errors.ts';
import type { Topology } from '../topology.ts';
import type { Client } from '../transport/apis.ts';
import type { ClusterOptions } from '../transport/cluster.ts';
import { Cluster, loadClient } from '../transport/cluster.ts';
import { isRecoverable } from '../transport/errors.ts';
import { Instance } from './instance.ts';
import { StreamsMetrics } from './metrics.ts';
import { type AppState, type Settings, type StreamsOptions, settingsOf } from './options.ts';
import { Signal } from './signal.ts';

const MIN_RESTART_MS = 100;
const MAX_RESTART_MS = 5000;
const REQUEST_TIMEOUT_MS = 30_000;
const CLOSE_TIMEOUT_MS = 30_000;

/**
 * An instance of an application: runs a topology against brokers. Instances with one `applicationId` share its tasks. When brokers fail it
 * starts again from what is committed, for as long as it takes; when a function of the application throws, or a record is bad, it fails.
 */
export class StreamsApp {
  readonly #topology: Topology;
  readonly #settings: Settings;
  readonly #metrics: StreamsMetrics;
  readonly #signal = new Signal();
  readonly #ended: Promise<void>;
  #end!: { resolve: () => void; reject: (error: unknown) => void };
  #state: AppState = 'created';
  #closing = false;
  #clusters: Cluster[] = [];
  #running: { resolve: () => void; reject: (error: unknown) => void } | null = null;

  /** @throws StreamsError INVALID_ARGUMENT */
  constructor(topology: Topology, options: StreamsOptions) {
    this.#topology = topology;
    this.#settings = settingsOf(options);
    this.#metrics = new StreamsMetrics(this.#settings.applicationId);
    this.#ended = new Promise((resolve, reject) => {
      this.#end = { resolve, reject };
    });
    // Who does not ask gets no unhandled rejection: the state and the log tell, too.
    this.#ended.catch(() => undefined);
  }

  get state(): AppState {
    return this.#state;
  }

  /** For Prometheus: `await app.metrics.metrics()`. */
  get metrics(): Registry {
    return this.#metrics.registry;
  }

  /** Resolves when the application has been closed, rejects with the reason when it has failed. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * Resolves when its first tasks run, or it has joined and there are none for it.
   * @throws StreamsError NO_CLIENT, MISSING_TOPIC, NOT_COPARTITIONED, …; CLOSED when it was started before
   */
  start(): Promise<void> {
    if (this.#state !== 'created')
      throw new StreamsError('CLOSED', `the application is ${this.#state}; make a new one to start again`);
    return new Promise((resolve, reject) => {
      this.#running = { resolve, reject };
      this.#enter('rebalancing');
      void this.#run();
    });
  }

  #enter(state: AppState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#settings.logger.info({ application: this.#settings.applicationId, state }, 'streams application');
    try {
      this.#settings.onState(state);
    } catch (error) {
      // Who waits for the state is told nevertheless.
      this.#settings.logger.error({ error: (error as Error).message, state }, 'onState has failed');
    }
    if (state === 'running') this.#running?.resolve();
  }

  async #run(): Promise<void> {
    try {
      await this.#runAndLeave();
      this.#enter('closed');
      this.#end.resolve();
      this.#running?.resolve();
    } catch (error) {
      this.#settings.logger.error({ error: (error as Error).message }, 'the streams application has failed');
      this.#enter('failed');
      this.#end.reject(error);
      this.#running?.reject(error);
    }
  }

  /** When it ends the group knows, and nothing is open: whoever waits for that may end the process. */
  async #runAndLeave(): Promise<void> {
    let instance: Instance | null = null;
    try {
      instance = this.#open(await loadClient());
      await this.#operate(instance);
    } finally {
      await instance?.leave();
      await this.#disconnect();
    }
  }

  #open(client: Client): Instance {
    const { bootstrap, applicationId, tls, sasl, rebalanceTimeoutMs } = this.#settings;
    const open = (requestTimeoutMs: number) => {
      const options = { bootstrap, clientId: applicationId, requestTimeoutMs, tls, sasl } as ClusterOptions;
      const cluster = new Cluster(client, options);
      this.#clusters.push(cluster);
      return cluster;
    };
    return new Instance(
      this.#topology,
      this.#settings,
      this.#metrics,
      {
        writing: open(REQUEST_TIMEOUT_MS),
        reading: open(REQUEST_TIMEOUT_MS),
        group: open(REQUEST_TIMEOUT_MS + rebalanceTimeoutMs),
      },
      this.#signal,
      {
        closing: () => this.#closing,
        entered: (state) => this.#enter(this.#closing ? 'closing' : state),
      },
    );
  }

  async #disconnect(): Promise<void> {
    await Promise.all(this.#clusters.map((cluster) => cluster.close()));
  }

  async #operate(instance: Instance): Promise<void> {
    for (let wait = MIN_RESTART_MS; !this.#closing; wait = Math.min(2 * wait, MAX_RESTART_MS)) {
      try {
        await instance.run(() => {
          wait = MIN_RESTART_MS;
        });
      } catch (error) {
        const recoverable = this.#closing || isRecoverable(error);
        await instance.abandon(error, !recoverable || this.#closing);
        if (!recoverable) throw error;
        this.#metrics.failures.inc();
        this.#settings.logger.warn(
          { error: (error as Error).message, waitMs: wait },
          'starting again from what is committed',
        );
        this.#enter(this.#closing ? 'closing' : 'rebalancing');
        await this.#signal.waitUnless(() => this.#closing, wait);
      }
    }
  }

  /**
   * Commits what has been done, leaves the group and closes connections.
   * @param timeoutMs after which it stops waiting for brokers that do not answer; what is not committed is done again next time
   */
  async close({ timeoutMs = CLOSE_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    if (this.#state === 'created') {
      this.#enter('closed');
      this.#end.resolve();
    }
    if (this.#state === 'closed' || this.#state === 'failed') return;
    this.#closing = true;
    this.#enter('closing');
    this.#signal.give();
    // What waits for an answer ends with its connection.
    const timer = setTimeout(() => void this.#disconnect(), timeoutMs);
    await this.#ended.catch(() => undefined);
    clearTimeout(timer);
  }
}
