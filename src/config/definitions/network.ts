import { type ConfigDefinition, INT_MAX } from './definition.ts';

/** Listeners, sockets, threads, and the limits of connections and requests. */
export const networkDefinitions = [
  {
    name: 'listeners',
    type: 'list',
    default: 'PLAINTEXT://127.0.0.1:9092',
    documentation:
      'Where clients connect, as NAME://host:port separated by commas. An empty host or 0.0.0.0 means every interface, port 0 a free port. Names other than a security protocol need an entry in listener.security.protocol.map.',
    kafkaDefault: {
      value: 'PLAINTEXT://:9092',
      reason: 'without authentication only this machine should get in',
    },
  },
  {
    name: 'advertised.listeners',
    type: 'list',
    default: null,
    documentation:
      'The addresses that clients are told to connect to, one for each listener by name; the listener’s own address when not set.',
  },
  {
    name: 'listener.security.protocol.map',
    type: 'string',
    default:
      'SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,DIRECT:DIRECT,DIRECT_SSL:DIRECT_SSL',
    documentation:
      'The security protocol of each listener name, as NAME:PROTOCOL separated by commas. This version serves PLAINTEXT, SSL (docs/security.md), and DIRECT and DIRECT_SSL: Kafka’s protocol with references in place of large values, for the direct API (docs/direct-api.md).',
    kafkaDefault: {
      value: 'SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT',
      reason: 'the direct path is not Kafka’s',
    },
  },
  {
    name: 'num.network.threads',
    type: 'int',
    default: '3',
    min: 1,
    documentation:
      'Native threads that read and write sockets; never more than half of the cores, rounded up.',
  },
  {
    name: 'num.io.threads',
    type: 'int',
    default: '8',
    min: 1,
    documentation: 'Native threads that read and write files.',
  },
  {
    name: 'socket.request.max.bytes',
    type: 'int',
    default: '104857600',
    min: 1,
    documentation: 'The largest request; a connection that announces a larger one is closed.',
  },
  {
    name: 'socket.send.buffer.bytes',
    type: 'int',
    default: '-1',
    min: -1,
    documentation:
      'SO_SNDBUF of client connections; -1: 384 KiB for clients on the same machine, which a processor’s cache holds, and the operating system’s own sizing for others.',
    kafkaDefault: {
      value: '102400',
      reason:
        'the system sizes buffers for large answers better, and within a machine larger ones still suit caches',
    },
  },
  {
    name: 'socket.receive.buffer.bytes',
    type: 'int',
    default: '-1',
    min: -1,
    documentation: 'SO_RCVBUF of client connections; -1 leaves the operating system’s own sizing.',
    kafkaDefault: { value: '102400', reason: 'the system sizes buffers for large requests better' },
  },
  {
    name: 'socket.busy.poll.us',
    type: 'int',
    default: '0',
    min: 0,
    max: 1000000,
    documentation:
      'SO_BUSY_POLL of client connections: for so many microseconds the kernel polls the network device instead of waiting for an interrupt, which takes a processor and shortens round trips on adapters that support it. 0 does not.',
  },
  {
    name: 'socket.listen.backlog.size',
    type: 'int',
    default: '50',
    min: 1,
    documentation: 'Connections that may wait to be accepted; the operating system’s limit applies as well.',
  },
  {
    name: 'queued.max.request.bytes',
    type: 'long',
    default: '-1',
    min: -1,
    documentation:
      'Bytes of requests in progress above which no more are read; -1 takes half of the arena. Large ones that are still on their way have three quarters of it.',
  },
  {
    name: 'arena.bytes',
    type: 'long',
    default: '-1',
    min: 16777216,
    also: ['-1'],
    documentation:
      'Memory that large requests are received into and answers are read into, mapped once. It takes memory as it is used: pages are made present in the background, as many as requests, answers, and what waits to be written take at a time, and 256 MiB for what is merely cached; more once readers miss what more memory would still have held. What is present stays. What was written or read last stays in it as the only cache, and gives way. When it is full of what is in use, reading waits. -1: a quarter of the memory of this machine or container, and at least socket.request.max.bytes.',
  },
  {
    name: 'arena.directory',
    type: 'string',
    default: '/dev/shm',
    documentation:
      'Where the memory of arena.bytes is kept as a file: a tmpfs, or a hugetlbfs with pages of 2 MiB, that this user may write to. Huge pages are used where the tmpfs is mounted with huge=within_size, huge=always, or huge=advise: fresh memory then costs less, unless a virtual machine has to get it from its host first (docs/memory.md). Of what a killed process had acknowledged, the next start looks here, in the directory before, and in /dev/shm.',
  },
  {
    name: 'connections.max.idle.ms',
    type: 'long',
    default: '600000',
    documentation: 'A connection without a request for this many milliseconds is closed.',
  },
  {
    name: 'max.connections',
    type: 'int',
    default: String(INT_MAX),
    min: 0,
    documentation: 'The most connections at any time; more are closed as they arrive.',
  },
  {
    name: 'max.connections.per.ip',
    type: 'int',
    default: String(INT_MAX),
    min: 0,
    documentation: 'The most connections from one address; more are closed as they arrive.',
  },
  {
    name: 'max.connections.per.ip.overrides',
    type: 'string',
    default: '',
    documentation:
      'Limits for single addresses, as address:count separated by commas. Without effect in this version: max.connections.per.ip holds for every address.',
  },
  {
    name: 'fetch.max.bytes',
    type: 'int',
    default: '16777216',
    min: 1024,
    documentation:
      'The most bytes of one fetch answer, whatever the client allows; the first batch is always returned. Over links with long round trips larger answers are faster.',
    kafkaDefault: {
      value: '57671680',
      reason: 'clients take smaller answers into memory that they have used before',
    },
  },
  {
    name: 'max.incremental.fetch.session.cache.slots',
    type: 'int',
    default: '1000',
    min: 0,
    documentation:
      'Incremental fetch sessions that are kept (KIP-227), of at most 500,000 partitions together; further consumers send full requests.',
  },
] as const satisfies readonly ConfigDefinition[];
