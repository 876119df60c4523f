import { splitList } from './value.ts';

const SERVED = ['PLAINTEXT', 'SSL', 'DIRECT', 'DIRECT_SSL'] as const;
type ServedProtocol = (typeof SERVED)[number];

/** One entry of `listeners`. */
export interface Listener {
  /** Upper case, as Kafka normalizes it. */
  readonly name: string;
  /** DIRECT: Kafka's protocol, but large values come as references. SSL: over TLS. */
  readonly protocol: ServedProtocol;
  /** Empty for every interface. */
  readonly host: string;
  /** 0 for a free port. */
  readonly port: number;
}

/** What clients are told to connect to. */
export interface AdvertisedListener {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Where HTTP is served. */
export interface HttpAddress {
  /** As `listen` takes it: an IPv6 address has no brackets. */
  readonly host: string;
  /** 0 for a free port. */
  readonly port: number;
}

const ENDPOINT = /^([A-Za-z0-9_-]+):\/\/(?:\[([0-9A-Fa-f:.%]*)\]|([^[\]/:]*)):(-?\d+)$/;
const PROTOCOLS: readonly string[] = [...SERVED, 'SASL_PLAINTEXT', 'SASL_SSL'];

export function isDirect({ protocol }: Listener): boolean {
  return protocol.startsWith('DIRECT');
}

export function speaksTls({ protocol }: Listener): boolean {
  return protocol.endsWith('SSL');
}

function isServed(protocol: string): protocol is ServedProtocol {
  return (SERVED as readonly string[]).includes(protocol);
}

/** Hosts that mean "every interface" and that no client can connect to. */
function isWildcardHost(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::';
}

export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** @throws Error whose message says what is wrong */
function parseEndpoint(text: string): AdvertisedListener {
  const match = ENDPOINT.exec(text.trim());
  if (match === null) throw new Error(`"${text}" is not of the form NAME://host:port`);
  const port = Number(match[4]);
  if (port < 0 || port > 65535) throw new Error(`port ${match[4]} is not between 0 and 65535`);
  return { name: match[1]!.toUpperCase(), host: match[2] ?? match[3] ?? '', port };
}

function parseProtocolMap(text: string): Map<string, string> {
  const map = new Map<string, string>();
  for (const entry of splitList(text)) {
    const [name, protocol, ...rest] = entry.split(':');
    if (!name || !protocol || rest.length > 0 || !PROTOCOLS.includes(protocol.trim().toUpperCase())) {
      throw new Error(`"${entry}" is not of the form NAME:PROTOCOL with one of ${PROTOCOLS.join(', ')}`);
    }
    map.set(name.trim().toUpperCase(), protocol.trim().toUpperCase());
  }
  return map;
}

/**
 * Reads `listeners` with `listener.security.protocol.map`, leaving out those that only controllers use.
 * @throws Error whose message says what is wrong
 */
export function parseListeners(
  entries: readonly string[],
  protocolMap: string,
  controllerNames: readonly string[],
): Listener[] {
  const protocols = parseProtocolMap(protocolMap);
  const excluded = new Set(controllerNames.map((name) => name.toUpperCase()));
  const listeners: Listener[] = [];
  for (const entry of entries) {
    const endpoint = parseEndpoint(entry);
    if (excluded.has(endpoint.name)) continue;
    const protocol = protocols.get(endpoint.name);
    if (protocol === undefined) {
      throw new Error(
        `no security protocol is defined for listener ${endpoint.name} in listener.security.protocol.map`,
      );
    }
    if (!isServed(protocol)) {
      throw new Error(
        `security protocol ${protocol} of listener ${endpoint.name} is not served by this version, ${SERVED.join(', ')} are`,
      );
    }
    for (const other of listeners) {
      if (other.name === endpoint.name)
        throw new Error(`each listener must have a different name, ${other.name} is used twice`);
      if (other.port === endpoint.port && endpoint.port !== 0 && other.host === endpoint.host) {
        throw new Error(`each listener must have a different port, ${other.port} is used twice`);
      }
    }
    listeners.push({ ...endpoint, protocol });
  }
  if (listeners.length === 0) throw new Error('at least one listener is needed');
  return listeners;
}

/**
 * Reads `advertised.listeners`; a listener that is not in it is advertised under its own address, with this
 * machine's name in place of a wildcard.
 * @throws Error whose message says what is wrong
 */
export function parseAdvertisedListeners(
  entries: readonly string[] | null,
  listeners: readonly Listener[],
  controllerNames: readonly string[],
  hostname: string,
): AdvertisedListener[] {
  const excluded = new Set(controllerNames.map((name) => name.toUpperCase()));
  const advertised = new Map<string, AdvertisedListener>();
  for (const entry of entries ?? []) {
    const endpoint = parseEndpoint(entry);
    if (excluded.has(endpoint.name)) continue;
    if (!listeners.some(({ name }) => name === endpoint.name)) {
      throw new Error(
        `${endpoint.name} is not the name of a listener (${listeners.map(({ name }) => name).join(', ')})`,
      );
    }
    if (endpoint.host === '0.0.0.0' || endpoint.host === '::') {
      throw new Error(`clients cannot connect to ${endpoint.host}: advertise an address that they can reach`);
    }
    if (advertised.has(endpoint.name)) throw new Error(`listener ${endpoint.name} is advertised twice`);
    advertised.set(endpoint.name, endpoint);
  }
  return listeners.map(({ name, host, port }) => {
    const { host: advertisedHost, port: advertisedPort } = advertised.get(name) ?? { host, port };
    return { name, host: isWildcardHost(advertisedHost) ? hostname : advertisedHost, port: advertisedPort };
  });
}

/**
 * Reads `metrics.listener`; null for nothing.
 * @throws Error whose message says what is expected
 */
export function parseHttpAddress(text: string): HttpAddress | null {
  if (text === '') return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || `${url.protocol}//${url.host}` !== url.href.replace(/\/$/, ''))
    throw new Error('expected http://host:port, as in http://127.0.0.1:9464, or nothing');
  if (url.protocol !== 'http:')
    throw new Error(`only http is served: expected http://${url.host}, or nothing`);
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 80) };
}
