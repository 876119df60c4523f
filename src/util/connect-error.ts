/**
 * What kept a connection from being made, as one error: Node tries all addresses of a name, and gives what happened to each in an AggregateError
 * without a message. The code and the system call are those of the first.
 */
export function connectError(error: Error): NodeJS.ErrnoException {
  if (!(error instanceof AggregateError)) return error;
  const errors = error.errors as NodeJS.ErrnoException[];
  const message = [...new Set(errors.map((one) => one.message))].join('; ');
  const { code, syscall } = errors[0] ?? {};
  return Object.assign(new Error(message, { cause: error }), { code, syscall });
}
