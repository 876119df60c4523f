import { PREFIX, PROTOCOL } from './settings.ts';

/** The end that shows a certificate, as the other one calls it. */
export type Side = 'store' | 'gateway';

/** Why a certificate of `side` does not hold, for people at the other end; `code` is Node's. */
export function explainCertificate(code: string, side: Side): string {
  const its = `the ${side}'s certificate`;
  const renew = `renew the one in ${PREFIX}.keystore.location of the ${side}`;
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return `${its} has expired, or that of a CA of it: ${renew}, or correct the clock here`;
    case 'CERT_NOT_YET_VALID':
      return `${its} is not valid yet: correct the clocks, or ${renew}`;
    case 'CERT_REVOKED':
      return `${its} has been revoked: ${renew}`;
    case 'INVALID_PURPOSE':
      return `${its} is not for this use: its extended key usage must have ${side === 'store' ? 'serverAuth' : 'clientAuth'}`;
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'CERT_SIGNATURE_FAILURE':
      return `${its} is of no CA that is trusted here (${code}): add its CA to ${PREFIX}.truststore.location, or its chain to ${PREFIX}.keystore.location of the ${side}`;
    default:
      return `${its} does not hold: ${code}`;
  }
}

/** What went wrong before both ends spoke TLS, for people at this end; `other` is at the other one. */
export function explainHandshake(error: NodeJS.ErrnoException, other: Side): string {
  const { code = '', message } = error;
  const text = `${code} ${message}`;
  if (code.startsWith('CERT_') || /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|INVALID_PURPOSE)/.test(code))
    return explainCertificate(code, other);
  if (
    /wrong.version.number|http.request|packet.length.too.long|unexpected.message|bad.record.type/i.test(text)
  )
    return `the ${other} does not speak TLS: set ${PROTOCOL}=SSL there, or PLAINTEXT here`;
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT')
    return `the ${other} begins no TLS: set ${PROTOCOL}=SSL there, or PLAINTEXT here`;
  const [, alert] = /alert[ _]([a-z ]+)/i.exec(message) ?? [];
  if (alert !== undefined)
    return `the ${other} refuses TLS (${alert.trim()}): its log says why, and ${PREFIX}.* of both ends must fit`;
  if (code === 'ECONNRESET' || /before secure|socket hang up/.test(message))
    return `the ${other} has closed the connection before TLS began`;
  return message;
}
