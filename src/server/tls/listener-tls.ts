import type { ListenerTlsConfig } from '../../config/listener-tls.ts';
import type { NetTls } from '../../native/net.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { type ListenerCertificates, readCertificates, stampOf } from './listener-certificates.ts';

/** How often the files are looked at. */
export const LOOK_MS = 10_000;
const DAY_MS = 86_400_000;
/** Certificates that end so soon are warned of. */
export const SOON_MS = 14 * DAY_MS;

/**
 * The certificates of the listeners that speak TLS: from files, which are read again when they have changed, for the connections that come then.
 * While files are not whole what was read before holds.
 */
export class ListenerTls {
  readonly counters = { reloads: 0 };
  readonly #config: ListenerTlsConfig;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #use: ((material: NetTls) => void)[] = [];
  #current: ListenerCertificates;
  #stamp: string;
  /** Why the files as they are now are not used; null when they are. */
  #trouble: string | null = null;
  #timer: Timer | null = null;
  #looking: Promise<void> | null = null;

  private constructor(
    config: ListenerTlsConfig,
    clock: Clock,
    logger: Logger,
    first: { current: ListenerCertificates; stamp: string },
  ) {
    this.#config = config;
    this.#clock = clock;
    this.#logger = logger;
    this.#current = first.current;
    this.#stamp = first.stamp;
    this.#say();
    this.#lookLater();
  }

  /** Rejects with an Error for people when the files cannot be used. */
  static async open(config: ListenerTlsConfig, clock: Clock, logger: Logger): Promise<ListenerTls> {
    const stamp = await stampOf(config);
    return new ListenerTls(config, clock, logger, { current: await readCertificates(config), stamp });
  }

  get material(): NetTls {
    return this.#current.material;
  }

  get expiresMs(): number {
    return this.#current.expiresMs;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  /** Calls it with what is read later. It may throw what is wrong with that. */
  onRenewed(use: (material: NetTls) => void): void {
    this.#use.push(use);
  }

  close(): void {
    this.#timer?.cancel();
  }

  #lookLater(): void {
    this.#timer = this.#clock.setTimer(LOOK_MS, () => {
      void this.look().finally(() => this.#lookLater());
    });
  }

  /** Reads the files if they have changed. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const stamp = await stampOf(this.#config);
      if (stamp === this.#stamp) return;
      const read = await readCertificates(this.#config);
      for (const use of this.#use) use(read.material);
      // What is written meanwhile is seen the next time.
      if ((await stampOf(this.#config)) === stamp) this.#stamp = stamp;
      this.#current = read;
      this.#trouble = null;
      this.counters.reloads++;
      this.#say();
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#trouble)
        this.#logger.warn({ reason: message }, 'new certificates are not used; those from before hold');
      this.#trouble = message;
    }
  }

  #say(): void {
    const { subject, authorities, expiresMs } = this.#current;
    const fields = { certificate: subject, authorities, expires: new Date(expiresMs).toISOString() };
    if (expiresMs - this.#clock.now() < SOON_MS)
      this.#logger.warn(fields, 'a certificate of the listeners has expired, or does so soon');
    else this.#logger.info(fields, 'certificates of the listeners are read');
  }
}
