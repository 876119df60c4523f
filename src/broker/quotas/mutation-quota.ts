import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Clock } from '../../util/clock.ts';
import type { QuotaEntry } from '../metadata/quota-state.ts';
import { QuotaLimits } from './quota-limits.ts';
import { type QuotaClient, Users } from './quota-users.ts';
import type { RateWindow } from './sampled-rate.ts';
import { TokenBucket } from './token-bucket.ts';

/** The quota on partitions that are created and deleted (KIP-599). */
export class MutationQuota {
  readonly #clock: Clock;
  readonly #users: Users<TokenBucket>;
  #limits = new QuotaLimits([], 'controller_mutation_rate');
  throttled = 0;

  constructor(clock: Clock, window: RateWindow) {
    this.#clock = clock;
    this.#users = new Users(() => new TokenBucket(window));
  }

  update(entries: Iterable<QuotaEntry>): void {
    this.#limits = new QuotaLimits(entries, 'controller_mutation_rate');
  }

  /** @param strict whether the client understands that it is refused; others only have to wait */
  begin({ user, clientId }: QuotaClient, strict: boolean): MutationPermits {
    const limit = this.#limits.of(user, clientId);
    if (limit === null) return NO_LIMIT;
    const bucket = this.#users.of(limit.sharedBy);
    // A request counts once, however much of it has to wait or is refused.
    const wait = (ms: number) => {
      if (ms > 0 && permits.throttleMs === 0) this.throttled++;
      permits.throttleMs = Math.max(permits.throttleMs, ms);
    };
    const permits = {
      throttleMs: 0,
      take: (partitions: number) => {
        const now = this.#clock.now();
        const missing = bucket.throttleMs(limit.perSecond, now);
        if (strict && missing > 0) {
          wait(missing);
          throw new ApiError(ErrorCode.THROTTLING_QUOTA_EXCEEDED);
        }
        bucket.take(partitions, limit.perSecond, now);
        if (!strict) wait(bucket.throttleMs(limit.perSecond, now));
      },
    };
    return permits;
  }
}

/** What one request may change. */
export interface MutationPermits {
  /** How long the client has to wait, milliseconds; known when all is taken. */
  readonly throttleMs: number;
  /** Counts partitions that are created or deleted. @throws ApiError THROTTLING_QUOTA_EXCEEDED */
  take(partitions: number): void;
}

export const NO_LIMIT: MutationPermits = { throttleMs: 0, take: () => {} };
