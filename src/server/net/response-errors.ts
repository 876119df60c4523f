import { ErrorCode } from '../../protocol/errors.ts';

const none: readonly number[] = [];

/** The error codes of a response, one for each topic, partition or group that has one; the same empty array when there are none. */
export function errorCodesOf(response: unknown): readonly number[] {
  const codes: number[] = [];
  if (typeof response === 'object' && response !== null) collect(response, codes);
  return codes.length === 0 ? none : codes;
}

function collect(struct: object, codes: number[]): void {
  for (const [field, value] of Object.entries(struct)) {
    if (field === 'errorCode') {
      if (value !== ErrorCode.NONE) codes.push(value);
    } else if (Array.isArray(value) && typeof value[0] === 'object' && field !== 'records') {
      for (const element of value) if (element !== null) collect(element, codes);
    }
  }
}
