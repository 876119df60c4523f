import { type ClientMatch, type ClientSelector, parseMatch } from '../../config/client-match.ts';
import { splitList } from '../../config/index.ts';
import { type Codec, decompressAsync } from '../../native/codec.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { crc32c } from '../../protocol/records/crc32c.ts';
import { type Uuid, ZERO_UUID } from '../../protocol/wire/types.ts';
import type { Clock } from '../../util/clock.ts';
import { randomUuid } from '../metadata/topic-id.ts';
import { type ClientMetric, type DecodedMetrics, decodeMetrics } from './otlp.ts';

/** What is known of a client that selectors can ask for, by selector. */
export type ClientDescription = Readonly<Record<Exclude<ClientSelector, 'client_instance_id'>, string>>;

export interface Subscription {
  /** For this client instance and these metrics; another one when either changes. */
  readonly id: number;
  readonly clientInstanceId: Uuid;
  readonly metrics: readonly string[];
  readonly intervalMs: number;
}

/** A client and what it pushed last. */
export interface TelemetryClient {
  readonly instanceId: Uuid;
  readonly description: ClientDescription;
  readonly metrics: readonly ClientMetric[];
}

interface Instance extends TelemetryClient {
  readonly subscription: Subscription;
  /** The state of the subscriptions that `subscription` was made of. */
  readonly version: number;
  metrics: readonly ClientMetric[];
  /** About how much memory they take. */
  bytes: number;
  lastGetMs: number;
  lastPushMs: number;
  /** The last push was refused because the client has to ask anew what to push, and how: it may do so at once. */
  mayAsk: boolean;
  terminating: boolean;
}

interface Rule {
  readonly metrics: readonly string[];
  readonly intervalMs: number;
  readonly match: ClientMatch;
}

/** Kafka gives these ids to nobody: zero, and one. */
const RESERVED_IDS: ReadonlySet<Uuid> = new Set([ZERO_UUID, 'AAAAAAAAAAAAAAAAAAAAAQ']);
/** Kafka's cache. */
const INSTANCES_MAX = 16_384;
const KEPT_MS = 60_000;
const INTERVALS_KEPT = 3;
const DEFAULT_INTERVAL_MS = 300_000;
const ALL_METRICS = '*';
/** Of one client, and of all: more are not kept. */
const METRICS_PER_CLIENT_MAX = 2_000;
const METRICS_MAX = 50_000;
const BYTES_PER_CLIENT_MAX = 1 << 20;
const BYTES_MAX = 32 << 20;
const HIGHEST_COMPRESSION = 4;
/** A push may become so many times telemetry.max.bytes when it is decompressed: Kafka's clients send a tenth of that. */
const EXPANSION_MAX = 4;
const EXPANDED_BYTES_MAX = 2 ** 31 - 1;
/** Pushes that are decompressed at the same time; clients whose push comes beyond that are told to come again. */
const DECOMPRESSING_MAX = 16;

/** Clients' metrics (KIP-714): tells clients what to push, by the subscriptions of client-metrics configurations, and keeps what they pushed last. */
export class ClientTelemetry {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #instances = new Map<Uuid, Instance>();
  #rules: readonly Rule[] = [];
  #version = 0;
  #decompressing = 0;
  pushed = 0;
  refused = 0;

  /** @param maxBytes the largest push (telemetry.max.bytes) */
  constructor(clock: Clock, maxBytes: number) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Whether any subscription asks for metrics. */
  get isWanted(): boolean {
    return this.#rules.some(({ metrics }) => metrics.length > 0);
  }

  /** Takes over the subscriptions, each as its configured values. */
  update(subscriptions: Iterable<ReadonlyMap<string, string>>): void {
    this.#version++;
    this.#rules = [...subscriptions].map((values) => {
      const parsed = parseMatch(values.get('match') ?? '');
      return {
        metrics: splitList(values.get('metrics') ?? ''),
        intervalMs: Number(values.get('interval.ms') ?? DEFAULT_INTERVAL_MS),
        match: 'match' in parsed ? parsed.match : new Map(),
      };
    });
  }

  /** The clients that were heard of lately. */
  clients(): readonly TelemetryClient[] {
    this.#forget();
    return [...this.#instances.values()];
  }

  /**
   * What a client is to push; a client without an id gets one.
   * @throws ApiError THROTTLING_QUOTA_EXCEEDED for one that asks too often
   */
  subscribe(instanceId: Uuid, description: ClientDescription): Subscription {
    const instance = this.#instance(instanceId === ZERO_UUID ? randomUuid() : instanceId, description);
    const now = this.#clock.now();
    const { intervalMs } = instance.subscription;
    const isDue = isOver(intervalMs, Math.max(instance.lastGetMs, instance.lastPushMs), now);
    if (!isDue && !instance.mayAsk)
      this.#refuse(ErrorCode.THROTTLING_QUOTA_EXCEEDED, 'The client asks before its next push is due');
    instance.mayAsk = false;
    if (isDue) instance.lastGetMs = now;
    return instance.subscription;
  }

  /** Keeps what a client pushed; it is decompressed on a worker thread. Rejects with an ApiError with Kafka's code. */
  async push(
    instanceId: Uuid,
    description: ClientDescription,
    push: { subscriptionId: number; terminating: boolean; compressionType: number; metrics: Uint8Array },
  ): Promise<void> {
    if (RESERVED_IDS.has(instanceId))
      this.#refuse(ErrorCode.INVALID_REQUEST, 'The client instance id is invalid');
    const instance = this.#instance(instanceId, description);
    try {
      this.#check(instance, push);
    } finally {
      instance.terminating = push.terminating;
    }
    if (push.metrics.byteLength > 0) {
      const plain = await this.#decompress(push.compressionType, push.metrics);
      // The client may have become another instance meanwhile, of other subscriptions.
      const current = this.#instances.get(instanceId);
      if (current !== undefined) Object.assign(current, this.#decode(current, plain));
    }
    this.pushed++;
  }

  #check(instance: Instance, push: Parameters<ClientTelemetry['push']>[2]): void {
    if (instance.terminating)
      this.#refuse(ErrorCode.INVALID_REQUEST, 'The client has said that it terminates');
    const now = this.#clock.now();
    const isDue =
      instance.lastGetMs > instance.lastPushMs ||
      isOver(instance.subscription.intervalMs, instance.lastPushMs, now);
    if (isDue) instance.lastPushMs = now;
    else if (!push.terminating)
      this.#refuse(ErrorCode.THROTTLING_QUOTA_EXCEEDED, 'The client pushes before its next push is due');
    const isKnown = push.subscriptionId === instance.subscription.id;
    const isReadable = push.compressionType >= 0 && push.compressionType <= HIGHEST_COMPRESSION;
    instance.mayAsk = !isKnown || !isReadable;
    if (!isKnown) this.#refuse(ErrorCode.UNKNOWN_SUBSCRIPTION_ID, 'The subscription has changed');
    if (!isReadable)
      this.#refuse(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, `Unknown compression ${push.compressionType}`);
    if (push.metrics.byteLength > this.#maxBytes)
      this.#refuse(ErrorCode.TELEMETRY_TOO_LARGE, `A push is at most ${this.#maxBytes} bytes`);
    if (push.compressionType !== 0 && this.#decompressing >= DECOMPRESSING_MAX)
      this.#refuse(ErrorCode.THROTTLING_QUOTA_EXCEEDED, 'Too many pushes are being decompressed');
  }

  async #decompress(compressionType: number, metrics: Uint8Array): Promise<Uint8Array> {
    if (compressionType === 0) return metrics;
    this.#decompressing++;
    try {
      const limit = Math.min(this.#maxBytes * EXPANSION_MAX, EXPANDED_BYTES_MAX);
      return await decompressAsync(compressionType as Codec, metrics, limit);
    } catch (error) {
      return this.#refuse(
        ErrorCode.INVALID_RECORD,
        `The metrics cannot be decompressed: ${(error as Error).message}`,
      );
    } finally {
      this.#decompressing--;
    }
  }

  /** What a client had pushed before gives way to this. */
  #decode(instance: Instance, plain: Uint8Array): DecodedMetrics {
    let numbers = METRICS_MAX;
    let bytes = BYTES_MAX;
    for (const each of this.#instances.values()) {
      if (each === instance) continue;
      numbers -= each.metrics.length;
      bytes -= each.bytes;
    }
    try {
      return decodeMetrics(plain, {
        numbers: Math.max(0, Math.min(METRICS_PER_CLIENT_MAX, numbers)),
        bytes: Math.max(0, Math.min(BYTES_PER_CLIENT_MAX, bytes)),
      });
    } catch (error) {
      return this.#refuse(
        ErrorCode.INVALID_RECORD,
        `The metrics cannot be read: ${(error as Error).message}`,
      );
    }
  }

  #refuse(code: ErrorCode, message: string): never {
    this.refused++;
    throw new ApiError(code, message);
  }

  #instance(instanceId: Uuid, description: ClientDescription): Instance {
    this.#forget();
    const known = this.#instances.get(instanceId);
    this.#instances.delete(instanceId);
    const instance =
      known !== undefined && known.version === this.#version
        ? known
        : this.#create(instanceId, known?.description ?? description, known);
    this.#instances.set(instanceId, instance);
    return instance;
  }

  #create(instanceId: Uuid, description: ClientDescription, before: Instance | undefined): Instance {
    const wanted = new Set<string>();
    let intervalMs = DEFAULT_INTERVAL_MS;
    for (const rule of this.#rules) {
      if (!matches(rule.match, instanceId, description)) continue;
      for (const metric of rule.metrics) wanted.add(metric);
      intervalMs = Math.min(intervalMs, rule.intervalMs);
    }
    const names = wanted.has(ALL_METRICS) ? [ALL_METRICS] : [...wanted];
    const id = crc32c(Buffer.from(JSON.stringify([names, intervalMs, instanceId]))) | 0;
    const subscription = { id, clientInstanceId: instanceId, metrics: names, intervalMs };
    const version = this.#version;
    const never = Number.NEGATIVE_INFINITY;
    return {
      instanceId,
      description,
      subscription,
      version,
      metrics: before?.metrics ?? [],
      bytes: before?.bytes ?? 0,
      lastGetMs: never,
      lastPushMs: never,
      mayAsk: false,
      terminating: false,
    };
  }

  /** Forgets clients that are silent; they come first. */
  #forget(): void {
    const now = this.#clock.now();
    for (const [id, { subscription, lastGetMs, lastPushMs }] of this.#instances) {
      const kept = Math.max(KEPT_MS, subscription.intervalMs * INTERVALS_KEPT);
      const isSilent = now - Math.max(lastGetMs, lastPushMs) > kept;
      if (isSilent || this.#instances.size > INSTANCES_MAX) this.#instances.delete(id);
    }
  }
}

/** Also when the clock has been set back since. */
function isOver(intervalMs: number, sinceMs: number, nowMs: number): boolean {
  return nowMs < sinceMs || nowMs - sinceMs >= intervalMs;
}

function matches(match: ClientMatch, instanceId: Uuid, description: ClientDescription): boolean {
  for (const [selector, test] of match) {
    const value = selector === 'client_instance_id' ? instanceId : description[selector];
    if (!test(value)) return false;
  }
  return true;
}
