import type { ConfigDefinition } from './definition.ts';

/** How the tiers are named, from the fastest on; more are not possible. */
export const TIER_ORDINALS = [
  'first',
  'second',
  'third',
  'fourth',
  'fifth',
  'sixth',
  'seventh',
  'eighth',
] as const;
export type TierOrdinal = (typeof TIER_ORDINALS)[number];

function keysOf<const O extends TierOrdinal>(ordinal: O) {
  return [
    {
      name: `storage.tiers.${ordinal}.paths` as const,
      type: 'list',
      default: null,
      documentation: `Directories of the ${ordinal} tier, separated by commas, each for itself alone; they share the load. Only with log.channel.type=tiered.`,
    },
    {
      name: `storage.tiers.${ordinal}.sizes` as const,
      type: 'list',
      default: '-1',
      repeats: true,
      documentation: `How many bytes of payload each of storage.tiers.${ordinal}.paths may hold, in their order, separated by commas; -1, also alone for all of them: what its file system has. A tier MEMORY needs sizes.`,
    },
    {
      name: `storage.tiers.${ordinal}.migrate.bytes.per.second` as const,
      type: 'long',
      default: '-1',
      min: 1048576,
      also: ['-1'],
      update: 'cluster-wide',
      documentation: `The most bytes per second that are copied into and out of the ${ordinal} tier, within storage.migrate.bytes.per.second; -1 for no limit of its own.`,
    },
  ] as const satisfies readonly ConfigDefinition[];
}

/** Where payload lies, with the names and meanings of Pafka where it has the setting. */
export const tierDefinitions = [
  {
    name: 'log.channel.type',
    type: 'string',
    default: 'file',
    values: ['file', 'pmem', 'tiered'],
    documentation:
      'Where payload lies: file, in the directories of its partitions below log.dirs; tiered, in the tiers of storage.tiers.*, newest in the first; pmem, all of it in persistent memory, as one tier PMEM with storage.tiers.first.paths and .sizes. The logs themselves stay in log.dirs. Of a payload store: file, all in payload.store.dir; tiered and pmem as for a gateway.',
  },
  {
    name: 'storage.tiers.types',
    type: 'list',
    default: null,
    values: ['PMEM', 'NVME', 'SSD', 'HDD', 'MEMORY', 'PFS', 'S3'],
    repeats: true,
    documentation:
      'The kind of each tier, fastest first, separated by commas: NVME, SSD, HDD, or PFS for a mounted parallel file system; PMEM for a DAX file system on persistent memory; MEMORY for a tmpfs such as /dev/shm, which a restart of the machine empties (needs log.durability=os, and a tier behind it); and, as the last one only, S3 for an object store (storage.s3.*). Needed with log.channel.type=tiered; each tier but S3 has its storage.tiers.<first|second|...>.paths.',
  },
  ...keysOf('first'),
  ...keysOf('second'),
  ...keysOf('third'),
  ...keysOf('fourth'),
  ...keysOf('fifth'),
  ...keysOf('sixth'),
  ...keysOf('seventh'),
  ...keysOf('eighth'),
  {
    name: 'storage.migrate.threshold',
    type: 'double',
    default: '0.5',
    min: 0,
    max: 1,
    also: ['-1'],
    update: 'cluster-wide',
    documentation:
      'The share of a tier’s space above which its oldest payload moves to the next tier, and up to which the newest of the tiers below moves into it; -1 moves nothing.',
  },
  {
    name: 'storage.migrate.threads',
    type: 'int',
    default: '1',
    min: 1,
    max: 64,
    documentation: 'Threads that copy payload from tier to tier: so many files move at the same time.',
  },
  {
    name: 'storage.migrate.bytes.per.second',
    type: 'long',
    default: '134217728',
    min: 1048576,
    also: ['-1'],
    update: 'cluster-wide',
    documentation:
      'The most bytes per second that are copied from tier to tier, all threads together; -1 for no limit. Copying also waits while more than a sixteenth of the arena waits to be written for clients.',
  },
  {
    name: 'log.pmem.pool.ratio',
    type: 'double',
    default: '0.8',
    min: 0,
    max: 1,
    documentation:
      'The share of the size of a tier PMEM, as in Pafka, or MEMORY that is allocated and written ahead, as files for new segments, from the start on; what segments have left goes back there. 0 allocates nothing ahead. For other tiers log.recycle.bytes keeps removed segments for new ones, and log.preallocate reserves the whole of a new one.',
  },
  {
    name: 'storage.memory.max.age.ms',
    type: 'long',
    default: '300000',
    min: 1000,
    also: ['-1'],
    update: 'cluster-wide',
    documentation:
      'The time after which payload leaves tiers of the type MEMORY, whatever storage.migrate.threshold is: a restart of the machine without a clean stop loses no more than what came since, as far as storage.migrate.bytes.per.second has let it move. -1: only its size limits it.',
  },
] as const satisfies readonly ConfigDefinition[];
