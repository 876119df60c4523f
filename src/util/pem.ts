const CERTIFICATE = /-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g;
/** Headers have hyphens. */
const KEY = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----((?:(?!-----)[\s\S])+)-----END \1PRIVATE KEY-----/g;

/** The certificates in a text of PEM, each as PEM of its own. As in Kafka, what is between the lines may have lost its line ends. */
export function certificatesIn(text: string): string[] {
  return [...text.matchAll(CERTIFICATE)].map(
    ([, body]) => `-----BEGIN CERTIFICATE-----\n${lined(body!)}\n-----END CERTIFICATE-----\n`,
  );
}

/** The private keys in it. */
export function privateKeysIn(text: string): string[] {
  return [...text.matchAll(KEY)].map(([whole, kind, body]) =>
    // Keys that are encrypted in OpenSSL's old way have headers.
    body!.includes(':')
      ? `${whole}\n`
      : `-----BEGIN ${kind}PRIVATE KEY-----\n${lined(body!)}\n-----END ${kind}PRIVATE KEY-----\n`,
  );
}

const lined = (body: string) => body.replace(/\s/g, '').replace(/(.{64})(?=.)/g, '$1\n');
