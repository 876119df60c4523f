export interface RateWindow {
  /** How many samples are remembered (quota.window.num). */
  readonly samples: number;
  /** The length of one (quota.window.size.seconds). */
  readonly sampleMs: number;
}

/** Clients are told how long to wait in 32 bits: 24 days. */
export const MAX_THROTTLE_MS = 0x7fffffff;

interface Sample {
  readonly startMs: number;
  sum: number;
}

/** Kafka's windowed rate: what was recorded in the last samples, over the time that they cover. */
export class SampledRate {
  readonly #window: RateWindow;
  readonly #samples: Sample[] = [];

  constructor(window: RateWindow) {
    this.#window = window;
  }

  record(value: number, nowMs: number): void {
    this.#forget(nowMs);
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.startMs < this.#window.sampleMs) last.sum += value;
    else this.#samples.push({ startMs: nowMs, sum: value });
  }

  /** What was recorded for each second. */
  perSecond(nowMs: number): number {
    this.#forget(nowMs);
    const sum = this.#samples.reduce((total, sample) => total + sample.sum, 0);
    return sum / (this.coveredMs(nowMs) / 1000);
  }

  /** The time that the samples cover: at least all but one of them, so that a new client is not throttled by its first request. */
  coveredMs(nowMs: number): number {
    const { samples, sampleMs } = this.#window;
    const elapsed = nowMs - (this.#samples[0]?.startMs ?? nowMs);
    const lacking = samples - 1 - Math.floor(elapsed / sampleMs);
    return Math.max(lacking > 0 ? elapsed + lacking * sampleMs : elapsed, sampleMs);
  }

  /** How long nothing must be recorded until the rate is within the limit, milliseconds; 0 if it is. */
  throttleMs(limitPerSecond: number, nowMs: number): number {
    const excess = this.perSecond(nowMs) - limitPerSecond;
    if (!(excess > 0)) return 0;
    return Math.min(MAX_THROTTLE_MS, Math.round((excess / limitPerSecond) * this.coveredMs(nowMs)));
  }

  #forget(nowMs: number): void {
    const { samples, sampleMs } = this.#window;
    while (this.#samples.length > 0 && nowMs - this.#samples[0]!.startMs >= samples * sampleMs)
      this.#samples.shift();
    // The clock was set back: what lies ahead of it would count until it is there again, with all that comes meanwhile.
    while (this.#samples.length > 0 && this.#samples.at(-1)!.startMs > nowMs) this.#samples.pop();
  }
}
