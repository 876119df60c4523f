import type { ListenerTlsConfig } from '../../config/listener-tls.ts';
import type { NetTls } from '../../native/net.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { RenewedCertificates } from '../../util/renewed-certificates.ts';
import {
  type ListenerCertificates,
  ofListeners,
  readCertificates,
  stampOf,
} from './listener-certificates.ts';

/** How often the files are looked at. */
export const LOOK_MS = 10_000;

/** The certificates of listeners that speak TLS: from files, which are read again when they have changed, for the connections that come then. */
export class ListenerTls {
  /** Names of the listeners. */
  readonly listeners: readonly string[];
  readonly #clock: Clock;
  readonly #use: ((material: NetTls) => void)[] = [];
  readonly #certificates: RenewedCertificates<ListenerCertificates>;
  #timer: Timer | null = null;

  private constructor(config: ListenerTlsConfig, clock: Clock, logger: Logger) {
    this.listeners = config.listeners;
    this.#clock = clock;
    const source = {
      whose: `of ${ofListeners(config)}`,
      stamp: () => stampOf(config),
      read: () => readCertificates(config),
      use: ({ material }: ListenerCertificates) => {
        for (const use of this.#use) use(material);
      },
    };
    this.#certificates = new RenewedCertificates(source, clock, logger);
  }

  /** Rejects with an Error for people when the files cannot be used. */
  static async open(config: ListenerTlsConfig, clock: Clock, logger: Logger): Promise<ListenerTls> {
    const tls = new ListenerTls(config, clock, logger);
    await tls.look().catch((error: Error) => {
      throw new Error(`${ofListeners(config)}: ${error.message}`, { cause: error });
    });
    tls.#lookLater();
    return tls;
  }

  get material(): NetTls {
    return this.#certificates.current!.material;
  }

  get expiresMs(): number {
    return this.#certificates.current!.expiresMs;
  }

  /** Why the files as they are now are not used; null when they are. */
  get trouble(): string | null {
    return this.#certificates.trouble;
  }

  get reloads(): number {
    return this.#certificates.reloads;
  }

  /** Calls it with what is read later. It may throw what is wrong with that. */
  onRenewed(use: (material: NetTls) => void): void {
    this.#use.push(use);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #lookLater(): void {
    this.#timer = this.#clock.setTimer(LOOK_MS, () => {
      void this.look().finally(() => {
        if (this.#timer !== null) this.#lookLater();
      });
    });
  }

  /** Reads the files if they have changed. */
  look(): Promise<void> {
    return this.#certificates.refresh();
  }
}
