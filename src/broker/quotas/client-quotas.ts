import type { KafabricConfig } from '../../config/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { QuotaEntry } from '../metadata/quota-state.ts';
import { ConnectionQuota } from './connection-quota.ts';
import { MutationQuota } from './mutation-quota.ts';
import { QuotaLimits } from './quota-limits.ts';
import { type QuotaClient, Users } from './quota-users.ts';
import { type RateWindow, SampledRate } from './sampled-rate.ts';

/** A quota on a rate: produced bytes, fetched bytes, the broker's time. */
export class RateQuota {
  readonly #key: string;
  readonly #clock: Clock;
  readonly #window: RateWindow;
  readonly #users: Users<SampledRate>;
  readonly #maxThrottleMs: number;
  #limits: QuotaLimits;
  /** False while no client has a limit; then nothing is recorded. */
  active = false;
  throttled = 0;

  constructor(key: string, clock: Clock, window: RateWindow, maxThrottleMs = Number.POSITIVE_INFINITY) {
    this.#key = key;
    this.#clock = clock;
    this.#window = window;
    this.#users = new Users(() => new SampledRate(window));
    this.#maxThrottleMs = maxThrottleMs;
    this.#limits = new QuotaLimits([], key);
  }

  update(entries: Iterable<QuotaEntry>): void {
    this.#limits = new QuotaLimits(entries, this.#key);
    this.active = !this.#limits.isEmpty;
  }

  /** Counts a use; how long the client has to wait for it, milliseconds. */
  record({ user, clientId }: QuotaClient, value: number): number {
    const limit = this.#limits.of(user, clientId);
    if (limit === null) return 0;
    const now = this.#clock.now();
    const rate = this.#users.of(limit.sharedBy);
    rate.record(value, now);
    const throttleMs = Math.min(rate.throttleMs(limit.perSecond, now), this.#maxThrottleMs);
    if (throttleMs > 0) this.throttled++;
    return throttleMs;
  }

  /** Takes back a use that did not take place. */
  takeBack({ user, clientId }: QuotaClient, value: number): void {
    const limit = this.#limits.of(user, clientId);
    if (limit !== null) this.#users.of(limit.sharedBy).record(-value, this.#clock.now());
  }

  /** The largest use that is not throttled by itself. */
  largest({ user, clientId }: QuotaClient): number {
    const limit = this.#limits.of(user, clientId);
    if (limit === null) return Number.POSITIVE_INFINITY;
    return (limit.perSecond * (this.#window.samples - 1) * this.#window.sampleMs) / 1000;
  }
}

/** Every quota of clients, as the metadata sets it. */
export class ClientQuotas {
  readonly produce: RateQuota;
  readonly fetch: RateQuota;
  /** In percent of one thread's time. */
  readonly request: RateQuota;
  readonly mutations: MutationQuota;
  readonly connections: ConnectionQuota;

  constructor(config: KafabricConfig, clock: Clock) {
    const window = {
      samples: config.get('quota.window.num'),
      sampleMs: config.get('quota.window.size.seconds') * 1000,
    };
    this.produce = new RateQuota('producer_byte_rate', clock, window);
    this.fetch = new RateQuota('consumer_byte_rate', clock, window);
    this.request = new RateQuota('request_percentage', clock, window, window.sampleMs);
    this.connections = new ConnectionQuota(clock, window);
    this.mutations = new MutationQuota(clock, {
      samples: config.get('controller.quota.window.num'),
      sampleMs: config.get('controller.quota.window.size.seconds') * 1000,
    });
  }

  update(entries: Iterable<QuotaEntry>): void {
    const all = [...entries];
    for (const quota of [this.produce, this.fetch, this.request, this.mutations, this.connections])
      quota.update(all);
  }

  /** Requests that were throttled, and connections that were refused, by the quota. */
  throttled(): ReadonlyMap<string, number> {
    return new Map([
      ['produce', this.produce.throttled],
      ['fetch', this.fetch.throttled],
      ['request', this.request.throttled],
      ['controller-mutation', this.mutations.throttled],
      ['connection-creation', this.connections.throttled],
    ]);
  }
}
