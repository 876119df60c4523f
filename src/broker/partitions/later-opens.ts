import type { Clock, Timer } from '../../util/clock.ts';

const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 10_000;

/** Tries again and again to open what cannot be opened yet, one after the other. */
export class LaterOpens {
  readonly #clock: Clock;
  readonly #attempts = new Map<string, () => Promise<boolean>>();
  #delayMs = FIRST_DELAY_MS;
  #timer: Timer | null = null;
  #round: Promise<void> = Promise.resolve();
  #current: { readonly key: string; readonly ended: Promise<boolean> } | null = null;
  #isRunning = false;
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `attempt`: resolves to true when it need not be tried again; does not reject. */
  add(key: string, attempt: () => Promise<boolean>): void {
    this.#attempts.set(key, attempt);
    this.#later();
  }

  /** Does not try these again; resolves when none of them is being opened. Others, which may take long, are not waited for. */
  async forget(keys: ReadonlySet<string>): Promise<void> {
    for (const key of keys) this.#attempts.delete(key);
    if (this.#current !== null && keys.has(this.#current.key)) await this.#current.ended;
  }

  /** No more is begun. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  #later(): void {
    if (this.#stopped || this.#isRunning || this.#timer !== null || this.#attempts.size === 0) return;
    this.#timer = this.#clock.setTimer(this.#delayMs, () => {
      this.#timer = null;
      this.#isRunning = true;
      this.#round = this.#tryAll().finally(() => {
        this.#isRunning = false;
        this.#later();
      });
    });
  }

  async #tryAll(): Promise<void> {
    const before = this.#attempts.size;
    for (const [key, attempt] of [...this.#attempts]) {
      if (this.#stopped) return;
      if (this.#attempts.get(key) !== attempt) continue;
      this.#current = { key, ended: attempt() };
      const isSettled = await this.#current.ended;
      this.#current = null;
      if (isSettled && this.#attempts.get(key) === attempt) this.#attempts.delete(key);
    }
    const isBetter = this.#attempts.size < before;
    this.#delayMs = isBetter ? FIRST_DELAY_MS : Math.min(LAST_DELAY_MS, 2 * this.#delayMs);
  }
}
