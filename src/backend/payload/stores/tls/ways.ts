import { type FabricReport, PLAIN_TCP, TLS_TCP } from '../../../../native/fabric.ts';
import { type FabricWish, usableWays, type Way } from '../../../../native/fabric-choice.ts';
import { PROTOCOL, UNENCRYPTED } from './settings.ts';
import type { StoresTls } from './stores-tls.ts';

const TLS_WAY: Way = { provider: TLS_TCP, domain: '', network: '' };

/**
 * The ways that payload may take between a gateway and a store, best first: with TLS encrypted ones only, unless others are allowed. Throws an
 * Error for people when what was asked for by name is not there, or not allowed.
 */
export function storeWays(report: FabricReport, wish: FabricWish, tls: StoresTls | null | undefined): Way[] {
  if (!tls) {
    if (wish.provider === TLS_TCP)
      throw new Error(`fabric.provider=${TLS_TCP} needs ${PROTOCOL}=SSL: its keys go over that connection`);
    return usableWays(report, wish);
  }
  if (wish.provider === TLS_TCP) return [TLS_WAY];
  if (tls.settings.allowsUnencryptedPayload)
    return usableWays(report, wish).map((way) =>
      wish.provider === '' && way.provider === PLAIN_TCP ? TLS_WAY : way,
    );
  if (wish.provider === '' && wish.domain === '') return [TLS_WAY];
  const named = wish.provider === '' ? `fabric.domain=${wish.domain}` : `fabric.provider=${wish.provider}`;
  throw new Error(
    `${named} does not encrypt payload, and ${PROTOCOL}=SSL: leave it empty (payload goes over ${TLS_TCP} then), or set ${UNENCRYPTED}=true where the network is trusted`,
  );
}
