import type { ListenerTlsConfig } from '../../config/listener-tls.ts';
import { SOON_MS } from '../../util/renewed-certificates.ts';
import { ofListeners, readCertificates } from '../tls/listener-certificates.ts';
import { type Finding, note, ok, problem } from './finding.ts';

const RENEW = 'renew what is in ssl.keystore.location or ssl.truststore.location; no restart is needed';

/** Whose certificate listeners show that speak TLS, and until when it holds. */
export async function checkListenerCertificates(config: ListenerTlsConfig, nowMs: number): Promise<Finding> {
  const who = ofListeners(config);
  try {
    const { subject, authorities, validFromMs, expiresMs } = await readCertificates(config);
    const asked =
      config.clientAuth === 'none' ? '' : `, clients’ are ${config.clientAuth}, of ${authorities.join('; ')}`;
    const text = `${who}: TLS with certificate ${subject}${asked}, good until ${new Date(expiresMs).toISOString()}`;
    if (expiresMs <= nowMs) return problem('network', `${text}: that is over`, RENEW);
    if (validFromMs > nowMs)
      return problem('network', `${text}, but not yet valid`, 'correct the clock, or the certificate');
    return expiresMs - nowMs < SOON_MS
      ? note('network', `${text}: that is soon`, RENEW)
      : ok('network', text);
  } catch (error) {
    return problem('network', `${who}: ${(error as Error).message}`, 'without it the gateway does not start');
  }
}
