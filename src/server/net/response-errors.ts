import { ErrorCode } from '../../protocol/errors.ts';

const none: readonly number[] = [];

/** The error codes of a response, one for each topic, partition or group that has one; the same empty array when there are none. */
export function errorCodesOf(response: unknown): readonly number[] {
  const codes: number[] = [];
  if (typeof response === 'object' && response !== null) collect(response, codes);
  return codes.length === 0 ? none : codes;
}

function collect(struct: object, codes: number[]): void {
  // Messages are plain objects; Object.entries would take five times as long, for every partition of every response.
  for (const field in struct) {
    const value: unknown = struct[field as keyof typeof struct];
    if (field === 'errorCode') {
      if (value !== ErrorCode.NONE) codes.push(value as number);
    } else if (Array.isArray(value) && typeof value[0] === 'object' && field !== 'records') {
      for (const element of value) if (element !== null) collect(element, codes);
    }
  }
}
