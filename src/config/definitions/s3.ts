import type { ConfigDefinition } from './definition.ts';

/** The bucket of the storage tier S3; there is one at most. */
export const s3Definitions = [
  {
    name: 'storage.s3.bucket',
    type: 'string',
    default: '',
    documentation:
      'The bucket of the storage tier S3, which must exist. Needed when storage.tiers.types ends with S3.',
  },
  {
    name: 'storage.s3.prefix',
    type: 'string',
    default: '',
    documentation:
      'How the names of all objects begin, such as kafabric/node-1; it is for this gateway alone. Empty: the whole bucket is.',
  },
  {
    name: 'storage.s3.endpoint',
    type: 'string',
    default: '',
    documentation:
      'The URL of an object store that speaks the S3 protocol, such as https://minio.example:9000; empty for that of AWS in storage.s3.region.',
  },
  {
    name: 'storage.s3.region',
    type: 'string',
    default: '',
    documentation:
      'The region of the bucket. Empty: as the AWS SDK finds it (AWS_REGION, shared configuration), or us-east-1 with storage.s3.endpoint.',
  },
  {
    name: 'storage.s3.force.path.style',
    type: 'boolean',
    default: null,
    documentation:
      'Name the bucket in the path of URLs and not in the host name. By default true when storage.s3.endpoint is set, false otherwise.',
  },
  {
    name: 'storage.s3.credentials.file',
    type: 'string',
    default: '',
    documentation:
      'A file of credentials in the format of ~/.aws/credentials; its profile AWS_PROFILE, or default, is used. Empty: the default chain of the AWS SDK (environment, shared files, single sign-on, web identity, container or instance).',
  },
  {
    name: 'storage.s3.server.side.encryption',
    type: 'string',
    default: '',
    values: ['', 'AES256', 'aws:kms', 'aws:kms:dsse'],
    documentation: 'How the object store is asked to encrypt objects; empty: as the bucket is set up.',
  },
  {
    name: 'storage.s3.kms.key.id',
    type: 'string',
    default: '',
    documentation:
      'The key for storage.s3.server.side.encryption=aws:kms or aws:kms:dsse; empty: the key of the account.',
  },
  {
    name: 'storage.s3.part.bytes',
    type: 'long',
    default: '16777216',
    min: 5242880,
    max: 268435456,
    documentation:
      'Objects are uploaded in parts of this size, one after the other; each of storage.migrate.threads holds one part in memory. Files that would have more than 10,000 parts get larger ones.',
  },
  {
    name: 'storage.s3.max.attempts',
    type: 'int',
    default: '4',
    min: 1,
    max: 20,
    documentation:
      'How often a request is made before it has failed and the tier is taken out of use, until the object store answers again.',
  },
  {
    name: 'storage.s3.request.timeout.ms',
    type: 'int',
    default: '30000',
    min: 100,
    max: 600000,
    documentation: 'How long the object store may be silent during a request.',
  },
  {
    name: 'storage.s3.connections',
    type: 'int',
    default: '16',
    min: 1,
    max: 256,
    documentation: 'How many ranges of objects are read for consumers at the same time; more wait.',
  },
  {
    name: 'storage.s3.cache.dir',
    type: 'string',
    default: '',
    documentation:
      'A local directory for what is read from objects, for it alone; emptied at each start. Needed when storage.tiers.types ends with S3.',
  },
  {
    name: 'storage.s3.cache.bytes',
    type: 'long',
    default: '1073741824',
    min: 0,
    documentation:
      'How much of what was read from objects is kept in storage.s3.cache.dir; what is being read comes on top.',
  },
  {
    name: 'storage.s3.read.ahead.bytes',
    type: 'long',
    default: '8388608',
    min: 0,
    max: 1073741824,
    documentation:
      'How much of an object is read at once for who reads it from the beginning or goes on where it was read before; other reads get exactly what they need. 0: all do.',
  },
  {
    name: 'storage.s3.scrub.bytes.per.second',
    type: 'long',
    default: '4194304',
    min: 0,
    also: ['-1'],
    update: 'cluster-wide',
    documentation:
      'The most that is downloaded to find damaged objects before they are needed; 0: nothing, -1: no limit.',
  },
  {
    name: 'storage.s3.scrub.interval.ms',
    type: 'long',
    default: '604800000',
    min: 60000,
    update: 'cluster-wide',
    documentation:
      'All objects are checked once in so long, or as often as storage.s3.scrub.bytes.per.second allows; the first time begins a minute after the start.',
  },
] as const satisfies readonly ConfigDefinition[];
