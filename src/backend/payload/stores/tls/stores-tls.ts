import { constants, X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect,
  createServer,
  type PeerCertificate,
  type Server,
  type TLSSocket,
} from 'node:tls';
import { systemClock } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import { RenewedCertificates } from '../../../../util/renewed-certificates.ts';
import { type Credentials, namesOf, type OwnCertificate, readCredentials, stampOf } from './credentials.ts';
import { explainCertificate, explainHandshake } from './explain.ts';
import { PREFIX, type StoresTlsSettings } from './settings.ts';

/** Where errors of TCP come from. */
const CONNECTING = new Set(['connect', 'getaddrinfo']);

export interface AcceptEvents {
  /** The gateway has shown what it was asked for. */
  secured(socket: TLSSocket): void;
  /** It has not; `socket`: null when not even TLS began. The reason is for people, here and there. */
  refused(reason: string, socket: TLSSocket | null): void;
}

/**
 * TLS between gateways and stores, either end: with certificates from files, which are read again when they have changed, for the connections that
 * come then.
 */
export class StoresTls {
  readonly settings: StoresTlsSettings;
  readonly #certificates: RenewedCertificates<Credentials>;
  readonly #servers = new Set<Server>();
  #failures = 0;

  constructor(settings: StoresTlsSettings, logger: Logger) {
    this.settings = settings;
    const source = {
      whose: 'for stores',
      stamp: () => stampOf(settings),
      read: () => readCredentials(settings),
      use: ({ options }: Credentials) => {
        for (const server of this.#servers) server.setSecureContext(options);
      },
    };
    this.#certificates = new RenewedCertificates(source, systemClock, logger);
  }

  /** Null before `refresh`, and when this end has none. */
  get certificate(): OwnCertificate | null {
    return this.#certificates.current?.certificate ?? null;
  }

  get authorities(): readonly string[] {
    return this.#certificates.current?.authorities ?? [];
  }

  /** When the first of this end's certificate and the CAs' expires. */
  get expiresMs(): number {
    return this.#certificates.current?.expiresMs ?? Number.POSITIVE_INFINITY;
  }

  /** Why the files as they are now are not used; null when they are. */
  get trouble(): string | null {
    return this.#certificates.trouble;
  }

  get reloads(): number {
    return this.#certificates.reloads;
  }

  /** Connections that failed in TLS. */
  get failures(): number {
    return this.#failures;
  }

  /** Reads the files if they have changed. Rejects with an Error for people when they cannot be used, and none could before. */
  refresh(): Promise<void> {
    return this.#certificates.refresh();
  }

  /** A gateway's connection to a store, which it looks at when it is there ('secureConnect'); `refresh` before. */
  dial(host: string, port: number): TLSSocket {
    return connect({
      host,
      port,
      secureContext: this.#certificates.current!.context,
      ...(isIP(host) === 0 && { servername: host }),
      minVersion: 'TLSv1.3',
      rejectUnauthorized: true,
      checkServerIdentity: (_name, certificate) => this.#objectionToStore(host, certificate),
    });
  }

  /** Why it did not get there, for people. */
  explain(error: NodeJS.ErrnoException): Error {
    // Without a connection there was no TLS that could fail.
    if (CONNECTING.has(error.syscall ?? '')) return error;
    this.#failures++;
    return new Error(explainHandshake(error, 'store'));
  }

  #objectionToStore(host: string, certificate: PeerCertificate): Error | undefined {
    const { checkHost, allowedNames } = this.settings;
    const names = namesOf(new X509Certificate(certificate.raw));
    if (names.some((name) => allowedNames.includes(name))) return undefined;
    const its = `the store's certificate is for ${names.join(', ') || 'no name'}`;
    if (!checkHost) {
      if (allowedNames.length === 0) return undefined;
      return new Error(`${its}, none of ${PREFIX}.allowed.names`);
    }
    if (checkServerIdentity(host, certificate) === undefined) return undefined;
    const advice = `give it one that names ${host}, call it by another name in payload.stores, or name it in ${PREFIX}.allowed.names`;
    return new Error(`${its}, not for ${host}: ${advice}`);
  }

  /** What a store does with connections; `refresh` before. `greetingMs`: how long TLS may take to begin. */
  acceptor(greetingMs: number, events: AcceptEvents): (socket: Socket) => void {
    const server = createServer({
      ...this.#certificates.current!.options,
      requestCert: this.settings.clientAuth !== 'none',
      // So that the gateway can be told what is wrong with it.
      rejectUnauthorized: false,
      handshakeTimeout: greetingMs,
      // Every connection shows its certificate.
      secureOptions: constants.SSL_OP_NO_TICKET,
    });
    this.#servers.add(server);
    server.on('secureConnection', (socket) => {
      const objection = this.#objectionToGateway(socket);
      if (objection === null) return events.secured(socket);
      this.#failures++;
      events.refused(objection, socket);
    });
    server.on('tlsClientError', (error: NodeJS.ErrnoException) => {
      this.#failures++;
      events.refused(explainHandshake(error, 'gateway'), null);
    });
    return (socket) => {
      void this.refresh().finally(() => {
        if (!socket.destroyed) server.emit('connection', socket);
      });
    };
  }

  #objectionToGateway(socket: TLSSocket): string | null {
    const { clientAuth, allowedNames } = this.settings;
    if (clientAuth === 'none') return null;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined)
      return clientAuth === 'requested' && allowedNames.length === 0
        ? null
        : `the gateway shows no certificate: set ${PREFIX}.keystore.location there`;
    if (!socket.authorized) return explainCertificate(String(socket.authorizationError), 'gateway');
    const names = namesOf(certificate);
    if (allowedNames.length === 0 || names.some((name) => allowedNames.includes(name))) return null;
    return `the gateway's certificate is for ${names.join(', ') || 'no name'}, none of ${PREFIX}.allowed.names of this store`;
  }
}

/** What either end of a connection to a store knows of the other. */
export interface StoresSecurity {
  /** Empty: certificates alone say who is who. */
  readonly secret: string;
  /** Null: nothing is encrypted. */
  readonly tls?: StoresTls | null | undefined;
}
