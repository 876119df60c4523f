/** Three bytes of each character at most: it stays below what a string of the protocol may have. */
const MESSAGE_MAX_LENGTH = 8192;

/** A message of a response, cut where it names what is so long that it could not be sent. */
export function fitting<T extends string | null>(message: T): T {
  if (message === null || message.length <= MESSAGE_MAX_LENGTH) return message;
  return `${message.slice(0, MESSAGE_MAX_LENGTH)}...` as T;
}
