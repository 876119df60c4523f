import { ObjectError } from '../objects.ts';

/** Answers of these kinds are about one request; others say that the object store cannot be used, now or with these settings. */
const NOT_THERE = new Set(['NoSuchKey', 'NotFound', 'NoSuchUpload']);
const UNUSABLE = new Set([401, 403, 404, 408, 429]);

/** An error of the SDK, or of the network below it, as the tier takes it. `where`: what was asked for. */
export function objectError(error: unknown, where: string, stopped: boolean): ObjectError {
  if (error instanceof ObjectError)
    return error.message.startsWith(where)
      ? error
      : new ObjectError(error.code, `${where}: ${error.message}`);
  if (!(error instanceof Error)) return new ObjectError('EIO', `${where}: ${String(error)}`);
  if (stopped) return new ObjectError('ESHUTDOWN', `${where}: the tier is being closed`);
  const { name, message } = error;
  const metadata = (error as { $metadata?: { httpStatusCode?: number } }).$metadata;
  const status = metadata?.httpStatusCode;
  const text = `${where}: ${name === 'Error' ? '' : `${name}: `}${message || (error as { code?: string }).code || 'no reason was given'}`;
  if (NOT_THERE.has(name)) return new ObjectError('ENOENT', text);
  const isAboutRequest = status !== undefined && status >= 400 && status < 500 && !UNUSABLE.has(status);
  return new ObjectError(isAboutRequest ? 'EIO' : 'EHOSTDOWN', text);
}
