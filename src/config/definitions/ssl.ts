import type { ConfigDefinition } from './definition.ts';

/** TLS of listeners, by Kafka's names. See docs/security.md. */
export const sslDefinitions = [
  {
    name: 'ssl.keystore.type',
    type: 'string',
    default: 'PEM',
    documentation: 'The format of the certificate and key of this gateway; PEM is the one that is read.',
    kafkaDefault: { value: 'JKS', reason: 'keystores of Java are for Java' },
  },
  {
    name: 'ssl.keystore.location',
    type: 'string',
    default: null,
    documentation:
      'The PEM files, one or several separated by commas, with the certificate of this gateway, those of the CAs behind it, and its private key. Read again when they change, for new connections.',
  },
  {
    name: 'ssl.keystore.certificate.chain',
    type: 'password',
    default: null,
    sensitive: true,
    documentation:
      'The certificate of this gateway and those of the CAs behind it themselves, in PEM, in place of ssl.keystore.location.',
  },
  {
    name: 'ssl.keystore.key',
    type: 'password',
    default: null,
    sensitive: true,
    documentation: 'The private key itself, in PEM, with ssl.keystore.certificate.chain.',
  },
  {
    name: 'ssl.key.password',
    type: 'password',
    default: null,
    sensitive: true,
    documentation: 'What opens the private key, if it is encrypted.',
  },
  {
    name: 'ssl.truststore.type',
    type: 'string',
    default: 'PEM',
    documentation: 'The format of the certificates of CAs; PEM is the one that is read.',
    kafkaDefault: { value: 'JKS', reason: 'as for ssl.keystore.type' },
  },
  {
    name: 'ssl.truststore.location',
    type: 'string',
    default: null,
    documentation:
      'The PEM file with the certificates of the CAs that issue those of clients; the CAs of the system do not count. Read again when it changes, for new connections.',
  },
  {
    name: 'ssl.truststore.certificates',
    type: 'password',
    default: null,
    sensitive: true,
    documentation: 'Those certificates themselves, in PEM, in place of ssl.truststore.location.',
  },
  {
    name: 'ssl.client.auth',
    type: 'string',
    default: 'none',
    values: ['required', 'requested', 'none'],
    documentation:
      'Whether clients must show a certificate, whose subject is their principal then. With requested one that is shown must hold.',
  },
  {
    name: 'ssl.enabled.protocols',
    type: 'list',
    default: 'TLSv1.2,TLSv1.3',
    documentation: 'The versions of TLS that are spoken: TLSv1.3 alone, or TLSv1.2 too.',
  },
] as const satisfies readonly ConfigDefinition[];
