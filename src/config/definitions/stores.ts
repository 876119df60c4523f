import type { ConfigDefinition } from './definition.ts';

/** Stores that keep payload for gateways, from either side. */
export const storeDefinitions = [
  {
    name: 'payload.stores',
    type: 'list',
    default: '',
    documentation:
      'The stores that keep new payload: host:port, or absolute paths of files with an address in each line, or of directories of files named *.address, as stores write them. Empty keeps payload in this gateway. See docs/stores.md.',
  },
  {
    name: 'payload.stores.secret',
    type: 'password',
    default: '',
    sensitive: true,
    documentation:
      'What gateways and stores know of each other to be who they are: the same for all, at least 16 characters. Neither end sends it.',
  },
  {
    name: 'payload.stores.secret.file',
    type: 'string',
    default: '',
    documentation: 'A file that holds payload.stores.secret instead; white space around it does not count.',
  },
  {
    name: 'payload.stores.security.protocol',
    type: 'string',
    default: 'PLAINTEXT',
    values: ['PLAINTEXT', 'SSL'],
    documentation:
      'SSL has gateways and stores talk TLS 1.3, with certificates that payload.stores.ssl.* name; payload is encrypted too, unless payload.stores.unencrypted.payload.enable allows more. The same at both ends.',
  },
  {
    name: 'payload.stores.unencrypted.payload.enable',
    type: 'boolean',
    default: 'false',
    documentation:
      'With payload.stores.security.protocol=SSL: payload may go over providers of libfabric (RDMA), which encrypt nothing, where both ends say so; their networks must be trusted. Otherwise it goes over TLS (tls-tcp).',
  },
  {
    name: 'payload.stores.ssl.keystore.location',
    type: 'list',
    default: '',
    documentation:
      'The PEM files with the certificate of this process for stores and gateways, those of the CAs behind it, and its private key: one file or several. Read again when they change, for new connections.',
  },
  {
    name: 'payload.stores.ssl.keystore.type',
    type: 'string',
    default: 'PEM',
    values: ['PEM'],
    documentation: 'The format of payload.stores.ssl.keystore.location.',
  },
  {
    name: 'payload.stores.ssl.key.password',
    type: 'password',
    default: '',
    sensitive: true,
    documentation: 'What opens the private key in payload.stores.ssl.keystore.location, if it is encrypted.',
  },
  {
    name: 'payload.stores.ssl.truststore.location',
    type: 'string',
    default: '',
    documentation:
      'The PEM file with the certificates of the CAs that issue those of gateways and stores; the CAs of the system do not count. Read again when it changes, for new connections.',
  },
  {
    name: 'payload.stores.ssl.truststore.type',
    type: 'string',
    default: 'PEM',
    values: ['PEM'],
    documentation: 'The format of payload.stores.ssl.truststore.location.',
  },
  {
    name: 'payload.stores.ssl.client.auth',
    type: 'string',
    default: 'required',
    values: ['required', 'requested', 'none'],
    documentation:
      'Of a store: whether gateways must show a certificate. Where they need not, payload.stores.secret says who they are.',
  },
  {
    name: 'payload.stores.ssl.endpoint.identification.algorithm',
    type: 'string',
    default: 'https',
    values: ['https', ''],
    documentation:
      'Of a gateway: https has a store’s certificate name the host in payload.stores that was connected to; empty looks at payload.stores.ssl.allowed.names alone, or at no name without them.',
  },
  {
    name: 'payload.stores.ssl.allowed.names',
    type: 'list',
    default: '',
    documentation:
      'Names (DNS names, addresses, or the common name) of which a gateway’s certificate must have one at a store; at a gateway, names of stores’ certificates that are taken whatever the host is called. Empty: every certificate of a CA in the truststore.',
  },
  {
    name: 'payload.replicas',
    type: 'int',
    default: '1',
    min: 1,
    max: 8,
    update: 'cluster-wide',
    documentation:
      'How many stores get each extent, in different zones if there are as many. Topics may set their own.',
  },
  {
    name: 'payload.min.insync.replicas',
    type: 'int',
    default: '2',
    min: 1,
    max: 8,
    update: 'cluster-wide',
    documentation:
      'How many stores must have an extent before its record is acknowledged, at most payload.replicas; with fewer, Produce is answered with NOT_ENOUGH_REPLICAS. Topics may set their own.',
  },
  {
    name: 'payload.stores.copy.source',
    type: 'string',
    default: 'gateway',
    values: ['gateway', 'store'],
    documentation:
      'Who gives an extent to the second store and the others: gateway has every store take it from the gateway; store has the first one pass it on, so that it leaves the gateway once, and takes longer. See docs/stores.md.',
  },
  {
    name: 'payload.stores.request.timeout.ms',
    type: 'int',
    default: '30000',
    min: 100,
    max: 3600000,
    documentation:
      'How long a store may take for one request; a store that takes longer is given up until it answers a probe.',
  },
  {
    name: 'payload.stores.lost.after.ms',
    type: 'long',
    default: '60000',
    min: 0,
    documentation:
      'A store that is away for so long is taken for lost: other stores get new copies of what it has.',
  },
  {
    name: 'payload.stores.given.up',
    type: 'list',
    default: '',
    documentation:
      'The ids of stores that will not come back, as store.properties, logs and errors have them. Copies there do not count any more: partitions that wait for them go on without, and what only those stores had is lost.',
  },
  {
    name: 'payload.stores.orphan.grace.ms',
    type: 'long',
    default: '3600000',
    min: 0,
    documentation:
      'Files at stores that nothing refers to, and that this gateway has not given up itself, are removed when they have been that for so long without a restart.',
  },
  {
    name: 'payload.stores.repair.bytes.per.second',
    type: 'long',
    default: '134217728',
    min: 1,
    also: ['-1'],
    update: 'cluster-wide',
    documentation: 'The most that is copied and compared to repair copies at stores; -1: no limit.',
  },
  {
    name: 'payload.stores.scrub.bytes.per.second',
    type: 'long',
    default: '8388608',
    min: 0,
    also: ['-1'],
    update: 'cluster-wide',
    documentation:
      'The most that stores read to find damaged copies before they are needed, over and over again; 0: nothing, -1: no limit.',
  },
  {
    name: 'payload.store.listener',
    type: 'string',
    default: '127.0.0.1:9095',
    documentation:
      'Of a store (kafabric store): the host:port that gateways connect to; port 0 takes a free one.',
  },
  {
    name: 'payload.store.bulk.port',
    type: 'int',
    default: '0',
    min: 0,
    max: 65535,
    documentation:
      'Of a store: the port to which gateways connect for payload over plain TCP, on the same host; 0 takes a free one.',
  },
  {
    name: 'payload.store.dir',
    type: 'string',
    default: '',
    documentation:
      'Of a store: the directory for its payload; empty is "store" beside the default data directory. A machine with several disks runs a store for each, or one with storage tiers (log.channel.type=tiered), whose directories hold the payload then.',
  },
  {
    name: 'payload.store.zone',
    type: 'string',
    default: '',
    documentation:
      'Of a store: what it shares with stores that may fail together, such as a rack; copies go to different zones. Gateways read from stores whose zone is their broker.rack first.',
  },
  {
    name: 'payload.store.address.file',
    type: 'string',
    default: '',
    documentation:
      'Of a store: the file to which it writes its address for payload.stores, or, with a slash at the end, the directory for a file of its own there. Removed when the store ends.',
  },
  {
    name: 'payload.store.advertised.address',
    type: 'string',
    default: '',
    documentation:
      'Of a store: the host:port that it writes to payload.store.address.file; empty is that of payload.store.listener, with the host’s name where that is every interface.',
  },
  {
    name: 'payload.store.heartbeat.ms',
    type: 'int',
    default: '3000',
    min: 100,
    max: 600000,
    documentation:
      'Of a store: how long either end may be silent before the other takes it for gone; both speak every third of it.',
  },
] as const satisfies readonly ConfigDefinition[];
