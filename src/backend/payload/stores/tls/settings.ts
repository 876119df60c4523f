/** What `payload.stores.ssl.*` say; names and meanings are those of Kafka's `ssl.*`. */
export interface StoresTlsSettings {
  /** PEM files with the certificate, those of the CAs between it and the root, and its key; none: this end shows no certificate. */
  readonly keystore: readonly string[];
  /** Of the key; empty: it is not encrypted. */
  readonly keyPassword: string;
  /** PEM file with the certificates of the CAs that issue those of peers. */
  readonly truststore: string;
  /** Whether a store asks gateways for certificates. `requested`: one that is shown must hold, none need be shown. */
  readonly clientAuth: 'required' | 'requested' | 'none';
  /** A store's certificate must name the host that was connected to. */
  readonly checkHost: boolean;
  /** Names of certificates that are let in; of a store, beside that of its host. Empty: all that a CA of the truststore has issued. */
  readonly allowedNames: readonly string[];
  /** Payload may go without encryption, over providers of libfabric. */
  readonly allowsUnencryptedPayload: boolean;
}

export const PREFIX = 'payload.stores.ssl';
export const PROTOCOL = 'payload.stores.security.protocol';
export const UNENCRYPTED = 'payload.stores.unencrypted.payload.enable';
