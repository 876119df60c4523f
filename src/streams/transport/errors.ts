import { StreamsError } from '../errors.ts';

/** An answer of a broker that is an error; `id` is Kafka's name of it. */
export class BrokerError extends Error {
  readonly id: string;

  constructor(id: string, doing: string) {
    super(`${doing}: ${id}`);
    this.name = 'BrokerError';
    this.id = id;
  }
}

/** After these the same call is made again. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'COORDINATOR_LOAD_IN_PROGRESS',
  'COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR',
  'NOT_CONTROLLER',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'UNKNOWN_TOPIC_ID',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'REPLICA_NOT_AVAILABLE',
  'REQUEST_TIMED_OUT',
  'NETWORK_EXCEPTION',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'KAFKA_STORAGE_ERROR',
  'CONCURRENT_TRANSACTIONS',
  'UNSTABLE_OFFSET_COMMIT',
  'THROTTLING_QUOTA_EXCEEDED',
  'OFFSET_NOT_AVAILABLE',
]);

/** After these starting again does not help. */
const FATAL: ReadonlySet<string> = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'UNSUPPORTED_VERSION',
  'INVALID_TRANSACTION_TIMEOUT',
  'INVALID_SESSION_TIMEOUT',
  'INVALID_GROUP_ID',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_PARTITIONS',
  'INVALID_CONFIG',
  'INVALID_TOPIC_EXCEPTION',
  'POLICY_VIOLATION',
  'INCONSISTENT_GROUP_PROTOCOL',
  'GROUP_MAX_SIZE_REACHED',
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'PLT_KFK_AUTHENTICATION',
  'PLT_KFK_UNSUPPORTED_API',
  'PLT_KFK_UNSUPPORTED_COMPRESSION',
]);

/** What Node says of a broker's certificate that does not hold: another attempt would get the same one. */
const CERTIFICATE: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

interface ClientError {
  readonly code?: string;
  readonly apiId?: string;
  readonly id?: string;
  readonly errors?: readonly unknown[];
  readonly cause?: unknown;
}

/** The names of Kafka's errors, and the client's own codes, anywhere in an error. */
function idsOf(error: unknown, depth = 0): string[] {
  if (typeof error !== 'object' || error === null || depth > 8) return [];
  const { code, apiId, id, errors = [], cause } = error as ClientError;
  const own = [code, apiId, error instanceof BrokerError ? id : undefined];
  return [
    ...own.filter((one) => typeof one === 'string'),
    ...errors.flatMap((inner) => idsOf(inner, depth + 1)),
    ...idsOf(cause, depth + 1),
  ];
}

/** Whether the connection failed, or the broker did not answer in time. */
export function isConnectionError(error: unknown): boolean {
  return !(error instanceof BrokerError) && idsOf(error).includes('PLT_KFK_NETWORK');
}

/** Whether the same call may succeed when it is made again. */
export function isTransient(error: unknown): boolean {
  if (isFatal(error)) return false;
  return isConnectionError(error) || idsOf(error).some((id) => TRANSIENT.has(id));
}

export function isFatal(error: unknown): boolean {
  return idsOf(error).some((id) => FATAL.has(id) || CERTIFICATE.has(id));
}

/** Whether starting again may help: what the brokers and connections do, not what the application does, nor bytes that nobody can read. */
export function isRecoverable(error: unknown): boolean {
  if (error instanceof StreamsError || isFatal(error)) return false;
  const { code } = error as { code?: unknown };
  return error instanceof BrokerError || (typeof code === 'string' && code.startsWith('PLT_KFK_'));
}

export function isId(error: unknown, ...ids: string[]): boolean {
  return idsOf(error).some((id) => ids.includes(id));
}
