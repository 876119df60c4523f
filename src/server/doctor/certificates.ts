import { PREFIX, UNENCRYPTED } from '../../backend/payload/stores/tls/settings.ts';
import type { StoresTls } from '../../backend/payload/stores/tls/stores-tls.ts';
import { SOON_MS } from '../../util/renewed-certificates.ts';
import { type Finding, note, ok, problem } from './finding.ts';

/** How connections to stores are encrypted, and until when the certificates for that hold; `tls` was refreshed. */
export function checkCertificates(tls: StoresTls | null | undefined, nowMs: number): Finding[] {
  if (!tls)
    return [
      note(
        'stores',
        'connections to stores are not encrypted',
        'use a network that you trust, or payload.stores.security.protocol=SSL',
      ),
    ];
  const { certificate, authorities, expiresMs, settings } = tls;
  const own = certificate === null ? 'no certificate of its own' : `certificate ${certificate.subject}`;
  const until = new Date(expiresMs).toISOString();
  const text = `stores are reached by TLS: ${own}, CAs ${authorities.join('; ')}, good until ${until}`;
  const renew = `renew what is in ${PREFIX}.keystore.location or ${PREFIX}.truststore.location; no restart is needed`;
  const findings: Finding[] = [];
  if (expiresMs <= nowMs) findings.push(problem('stores', `${text}: that is over`, renew));
  else if (certificate !== null && certificate.validFromMs > nowMs)
    findings.push(problem('stores', `${text}, but not yet valid`, 'correct the clock, or the certificate'));
  else if (expiresMs - nowMs < SOON_MS) findings.push(note('stores', `${text}: that is soon`, renew));
  else findings.push(ok('stores', text));
  if (settings.allowsUnencryptedPayload)
    findings.push(
      note(
        'stores',
        `${UNENCRYPTED}=true: payload may go over libfabric, which encrypts nothing`,
        'use a network that you trust for it',
      ),
    );
  return findings;
}
