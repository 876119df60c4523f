/** Bytes that do not follow the protocol, or a value that the protocol cannot carry. */
export class ProtocolError extends Error {
  override readonly name: string = 'ProtocolError';
}

/** A version outside a message's range, or a value in a field that the version lacks (Kafka's UnsupportedVersionException). */
export class UnsupportedVersionError extends ProtocolError {
  override readonly name = 'UnsupportedVersionError';
}

export function unsupportedVersion(message: string, version: number): UnsupportedVersionError {
  return new UnsupportedVersionError(`${message} has no version ${version}`);
}

export function unsupportedField(message: string, field: string, version: number): UnsupportedVersionError {
  return new UnsupportedVersionError(`${message} version ${version} cannot carry a value of ${field}`);
}

export function nullField(message: string, field: string, version: number): ProtocolError {
  return new ProtocolError(`${field} of ${message} version ${version} cannot be null`);
}
