import path from 'node:path';
import type { BrokerKey, BrokerValues } from './definitions/index.ts';

/** The bucket of the storage tier S3. */
export interface S3Config {
  readonly bucket: string;
  /** Of the names of all objects: empty, or with a slash at its end. */
  readonly prefix: string;
  /** A URL; empty: AWS. */
  readonly endpoint: string;
  /** Empty: as the SDK finds it. */
  readonly region: string;
  readonly forcePathStyle: boolean;
  /** Empty: the SDK's default chain. */
  readonly credentialsFile: string;
  /** Empty: as the bucket is set up. */
  readonly encryption: '' | 'AES256' | 'aws:kms' | 'aws:kms:dsse';
  readonly kmsKeyId: string;
  readonly partBytes: number;
  readonly maxAttempts: number;
  readonly requestTimeoutMs: number;
  readonly connections: number;
  /** Absolute. */
  readonly cacheDirectory: string;
  readonly cacheBytes: number;
  readonly readAheadBytes: number;
}

type Getter = <K extends BrokerKey>(key: K) => BrokerValues[K];
/** Runs a check; what it throws becomes a problem of the key. */
type Attempt = <T>(key: BrokerKey, check: () => T) => T | undefined;

/** How paths of objects begin. */
export const S3_SCHEME = 's3://';

/** The path of a bucket, to which names of objects are added with a slash. */
export function bucketUrl({ bucket, prefix }: Pick<S3Config, 'bucket' | 'prefix'>): string {
  return `${S3_SCHEME}${bucket}${prefix === '' ? '' : `/${prefix.slice(0, -1)}`}`;
}

/** The settings of `storage.s3.*`; undefined when they cannot be used. */
export function resolveS3(get: Getter, attempt: Attempt): S3Config | undefined {
  const bucket = attempt('storage.s3.bucket', () => checkedBucket(get('storage.s3.bucket')));
  const prefix = attempt('storage.s3.prefix', () => checkedPrefix(get('storage.s3.prefix')));
  const endpoint = attempt('storage.s3.endpoint', () => checkedEndpoint(get('storage.s3.endpoint')));
  const cacheDirectory = attempt('storage.s3.cache.dir', () => {
    const directory = get('storage.s3.cache.dir');
    if (directory === '')
      throw new Error('the tier S3 needs a local directory for what is read from it, a few gigabytes large');
    return path.resolve(directory);
  });
  const encryption = get('storage.s3.server.side.encryption') as S3Config['encryption'];
  const kmsKeyId = get('storage.s3.kms.key.id');
  attempt('storage.s3.kms.key.id', () => {
    if (kmsKeyId !== '' && !encryption.startsWith('aws:kms'))
      throw new Error('a key is for storage.s3.server.side.encryption=aws:kms or aws:kms:dsse only');
  });
  if (bucket === undefined || prefix === undefined || endpoint === undefined || cacheDirectory === undefined)
    return undefined;
  return {
    ...{ bucket, prefix, endpoint, encryption, kmsKeyId, cacheDirectory },
    region: get('storage.s3.region') || (endpoint === '' ? '' : 'us-east-1'),
    forcePathStyle: get('storage.s3.force.path.style') ?? endpoint !== '',
    credentialsFile: get('storage.s3.credentials.file'),
    partBytes: get('storage.s3.part.bytes'),
    maxAttempts: get('storage.s3.max.attempts'),
    requestTimeoutMs: get('storage.s3.request.timeout.ms'),
    connections: get('storage.s3.connections'),
    cacheBytes: get('storage.s3.cache.bytes'),
    readAheadBytes: get('storage.s3.read.ahead.bytes'),
  };
}

function checkedBucket(bucket: string): string {
  if (bucket === '') throw new Error('the tier S3 needs the name of a bucket');
  if (!/^[\w.-]{3,63}$/.test(bucket))
    throw new Error('the name of a bucket has 3 to 63 letters, digits, dots and hyphens, and no slash');
  return bucket;
}

function checkedPrefix(prefix: string): string {
  const names = prefix.replace(/\/$/, '').split('/');
  if (prefix === '') return '';
  if (prefix.length > 400 || !names.every((name) => /^[\w.-]+$/.test(name) && !/^\.+$/.test(name)))
    throw new Error(
      'at most 400 letters, digits, dots, hyphens and underscores, with single slashes between them and none in front',
    );
  return `${names.join('/')}/`;
}

function checkedEndpoint(endpoint: string): string {
  if (endpoint === '') return '';
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '')
    throw new Error('a URL such as https://minio.example:9000 is needed');
  return endpoint;
}
