import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

const DAY_MS = 86_400_000;
/** Certificates that end so soon are warned of. */
export const SOON_MS = 14 * DAY_MS;

/** What files held when they were read. */
export interface ReadCertificates {
  /** Of the own certificate; null: there is none. */
  readonly subject: string | null;
  /** Subjects of the CAs. */
  readonly authorities: readonly string[];
  /** When the first of them all expires; Infinity without any. */
  readonly expiresMs: number;
}

export interface CertificateSource<T> {
  /** For the log: 'of the listeners'. */
  readonly whose: string;
  /** Changes when one of the files does; rejects when one is not there. */
  stamp(): Promise<string>;
  /** Rejects with an Error for people when the files do not hold what they should. */
  read(): Promise<T>;
  /** Takes over what was read. May throw what is wrong with it, for people: it is not used then. */
  use(read: T): void;
}

/** Certificates from files, which are read again when they have changed. While files are not whole what was read before holds. */
export class RenewedCertificates<T extends ReadCertificates> {
  readonly #source: CertificateSource<T>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #logger: Logger;
  #current: T | null = null;
  #stamp = '';
  #trouble: string | null = null;
  #reloads = 0;
  #refreshing: Promise<void> | null = null;

  constructor(source: CertificateSource<T>, clock: Pick<Clock, 'now'>, logger: Logger) {
    this.#source = source;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Null before the first `refresh`. */
  get current(): T | null {
    return this.#current;
  }

  /** Why the files as they are now are not used; null when they are. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** How often others took the place of those before. */
  get reloads(): number {
    return this.#reloads;
  }

  /** Reads the files if they have changed. Rejects with an Error for people when they cannot be used, and none could before. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    try {
      const stamp = await this.#source.stamp();
      if (stamp === this.#stamp) {
        // Those in use are there again.
        this.#trouble = null;
        return;
      }
      const read = await this.#source.read();
      this.#source.use(read);
      // What is written meanwhile is seen the next time.
      if ((await this.#source.stamp()) === stamp) this.#stamp = stamp;
      if (this.#current !== null) this.#reloads++;
      this.#current = read;
      this.#trouble = null;
      this.#say(read);
    } catch (error) {
      const { message } = error as Error;
      if (this.#current === null) throw error;
      if (message !== this.#trouble)
        this.#logger.warn({ reason: message }, 'new certificates are not used; those from before hold');
      this.#trouble = message;
    }
  }

  #say({ subject, authorities, expiresMs }: ReadCertificates): void {
    const expires = Number.isFinite(expiresMs) ? new Date(expiresMs).toISOString() : 'never';
    const fields = { certificate: subject, authorities, expires };
    const { whose } = this.#source;
    if (expiresMs - this.#clock.now() < SOON_MS)
      this.#logger.warn(fields, `a certificate ${whose} has expired, or does so soon`);
    else this.#logger.info(fields, `certificates ${whose} are read`);
  }
}
