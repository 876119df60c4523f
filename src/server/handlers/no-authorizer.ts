import { ErrorCode } from '../../protocol/errors.ts';

/** What Kafka's brokers say about ACLs when no authorizer is configured. */
export const NO_AUTHORIZER = {
  errorCode: ErrorCode.SECURITY_DISABLED,
  errorMessage: 'No Authorizer is configured.',
} as const;
