const NEWLINE = 0x0a;
/** Far more than metadata may be, and less than a string may be. */
const MAX_LINE_BYTES = 256 << 20;

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without what ends it. */
  readonly text: string;
}

/** Lines of UTF-8. Rejects, naming the line, when one is something else or longer than `maxBytes`. */
export async function* linesOf(
  input: AsyncIterable<Uint8Array>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let number = 1;
  for await (const chunk of input) {
    let from = 0;
    while (from < chunk.byteLength) {
      const end = chunk.indexOf(NEWLINE, from);
      const piece = chunk.subarray(from, end === -1 ? chunk.byteLength : end);
      bytes += piece.byteLength;
      if (bytes > maxBytes) throw new Error(`line ${number} is longer than ${maxBytes} bytes`);
      parts.push(piece);
      if (end === -1) break;
      yield { number, text: textOf(parts, number) };
      [parts, bytes, from] = [[], 0, end + 1];
      number++;
    }
  }
  if (bytes > 0) yield { number, text: textOf(parts, number) };
}

function textOf(parts: readonly Uint8Array[], number: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new Error(`line ${number} is not UTF-8`);
  }
}
