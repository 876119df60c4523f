import { isIPv6, SocketAddress } from 'node:net';
import type { Clock } from '../../util/clock.ts';
import type { QuotaEntry } from '../metadata/quota-state.ts';
import { IP } from './quota-manager.ts';
import { Users } from './quota-users.ts';
import { type RateWindow, SampledRate } from './sampled-rate.ts';

const MAPPED_IPV4 = /^::ffff:/;

/** The quota on connections that an address opens (KIP-612). */
export class ConnectionQuota {
  readonly #clock: Clock;
  readonly #users: Users<SampledRate>;
  readonly #byAddress = new Map<string | null, number>();
  throttled = 0;

  constructor(clock: Clock, window: RateWindow) {
    this.#clock = clock;
    this.#users = new Users(() => new SampledRate(window));
  }

  update(entries: Iterable<QuotaEntry>): void {
    this.#byAddress.clear();
    for (const { entity, values } of entries) {
      const value = values.get('connection_creation_rate');
      if (value === undefined || !entity.has(IP)) continue;
      const address = entity.get(IP) ?? null;
      this.#byAddress.set(address === null ? null : asConnected(address), value);
    }
  }

  /** Counts a connection; after how many milliseconds it is to be closed because there are too many, 0 to serve it. */
  record(address: string): number {
    if (this.#byAddress.size === 0) return 0;
    const plain = address.replace(MAPPED_IPV4, '');
    const perSecond = this.#byAddress.get(plain) ?? this.#byAddress.get(null);
    if (perSecond === undefined) return 0;
    const now = this.#clock.now();
    const rate = this.#users.of(plain);
    rate.record(1, now);
    const throttleMs = rate.throttleMs(perSecond, now);
    if (throttleMs === 0) return 0;
    rate.record(-1, now);
    this.throttled++;
    return throttleMs;
  }
}

/** An address as sockets print it: IPv6 can be written in several ways. */
function asConnected(address: string): string {
  // A zone is of one machine, which sockets do not print.
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return address;
  return new SocketAddress({ address: plain, family: 'ipv6' }).address.replace(MAPPED_IPV4, '');
}
