import { ObjectError } from '../objects.ts';

/** Answers of these kinds are about one request; others say that the object store cannot be used, now or with these settings. */
const NOT_THERE = new Set(['NoSuchKey', 'NotFound', 'NoSuchUpload']);
const UNUSABLE = new Set([404, 408, 429]);
const REFUSED = new Set([401, 403]);

const CREDENTIALS =
  'see to the credentials (storage.s3.credentials.file, or where the AWS SDK looks for them without it)';
const RIGHTS =
  'the credentials need the rights to list the bucket and its uploads, to get, put and delete objects, and to abort uploads';
const REGION = 'the bucket is elsewhere: see to storage.s3.region and storage.s3.endpoint';
const BUCKET = 'make the bucket, or see to storage.s3.bucket, storage.s3.endpoint and storage.s3.region';
const CERTIFICATE =
  'have the gateway trust who signed the certificate: NODE_EXTRA_CA_CERTS names a file of certificates';

/** What to do about refusals, by what object stores, the SDK and Node call them. */
const REFUSALS: Readonly<Record<string, string | undefined>> = {
  NoSuchBucket: BUCKET,
  InvalidBucketName: BUCKET,
  InvalidAccessKeyId: CREDENTIALS,
  SignatureDoesNotMatch: CREDENTIALS,
  InvalidToken: CREDENTIALS,
  ExpiredToken: CREDENTIALS,
  CredentialsProviderError: CREDENTIALS,
  AccessDenied: RIGHTS,
  AllAccessDisabled: RIGHTS,
  PermanentRedirect: REGION,
  AuthorizationHeaderMalformed: REGION,
  RequestTimeTooSkewed: "set this machine's clock",
};

/** As `REFUSALS`, of outages, which may also end by themselves. */
const OUTAGES: Readonly<Record<string, string | undefined>> = {
  ENOTFOUND: 'see to storage.s3.endpoint, or to the name service',
  ECONNREFUSED: 'nothing listens there: see to storage.s3.endpoint, or start the object store',
  DEPTH_ZERO_SELF_SIGNED_CERT: CERTIFICATE,
  SELF_SIGNED_CERT_IN_CHAIN: CERTIFICATE,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: CERTIFICATE,
};

/** An error of the SDK, or of the network below it, as the tier takes it: with what to do where that is known. `where`: what was asked for. */
export function objectError(error: unknown, where: string, stopped: boolean): ObjectError {
  if (error instanceof ObjectError)
    return error.message.startsWith(where)
      ? error
      : new ObjectError(error.code, `${where}: ${error.message}`);
  if (!(error instanceof Error)) return new ObjectError('EIO', `${where}: ${String(error)}`);
  if (stopped) return new ObjectError('ESHUTDOWN', `${where}: the tier is being closed`);
  const { name, message } = error;
  const { code = '', $metadata } = error as { code?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode ?? 0;
  const advice = REFUSALS[name] ?? OUTAGES[code] ?? (REFUSED.has(status) ? RIGHTS : undefined);
  const what = `${name === 'Error' ? '' : `${name}: `}${message || code || 'no reason was given'}`;
  const text = `${where}: ${what}${advice === undefined ? '' : `; ${advice}`}`;
  if (NOT_THERE.has(name)) return new ObjectError('ENOENT', text);
  if (REFUSALS[name] !== undefined || REFUSED.has(status)) return new ObjectError('EREFUSED', text);
  const isAboutRequest = status >= 400 && status < 500 && !UNUSABLE.has(status);
  return new ObjectError(isAboutRequest ? 'EIO' : 'EHOSTDOWN', text);
}
