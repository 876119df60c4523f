import { MAX_THROTTLE_MS, type RateWindow } from './sampled-rate.ts';

/** Kafka's token bucket (KIP-599): fills at the limit's rate, up to what the whole window allows; what is taken may exceed what is there. */
export class TokenBucket {
  readonly #window: RateWindow;
  #tokens = 0;
  /** Empty long ago is full now. */
  #lastMs = 0;

  constructor(window: RateWindow) {
    this.#window = window;
  }

  take(tokens: number, perSecond: number, nowMs: number): void {
    this.#fill(perSecond, nowMs);
    this.#tokens = Math.min(this.#tokens - tokens, this.#burst(perSecond));
  }

  /** How long it takes until as much is there as was taken, milliseconds; 0 if it is. */
  throttleMs(perSecond: number, nowMs: number): number {
    this.#fill(perSecond, nowMs);
    if (this.#tokens >= 0) return 0;
    return Math.min(MAX_THROTTLE_MS, Math.round((-this.#tokens / perSecond) * 1000));
  }

  #fill(perSecond: number, nowMs: number): void {
    const gained = (perSecond * Math.max(0, nowMs - this.#lastMs)) / 1000;
    this.#tokens = Math.min(this.#tokens + gained, this.#burst(perSecond));
    this.#lastMs = nowMs;
  }

  #burst(perSecond: number): number {
    return (this.#window.samples * this.#window.sampleMs * perSecond) / 1000;
  }
}
