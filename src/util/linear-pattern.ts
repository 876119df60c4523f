import { setFlagsFromString } from 'node:v8';

// V8's engine that takes linear time, as RE2 does: a pattern from outside must not keep the thread busy.
setFlagsFromString('--enable-experimental-regexp-engine');

/**
 * A test for text that a pattern from outside matches as a whole. Patterns that need backtracking (back-references, look-around), which
 * Kafka refuses too, are not valid.
 * @throws SyntaxError
 */
export function linearPattern(pattern: string): (text: string) => boolean {
  // By itself first: `a)|(?:b` is none, but would be one within other parentheses.
  new RegExp(pattern, 'l');
  const compiled = new RegExp(`^(?:${pattern})$`, 'l');
  return (text) => compiled.test(text);
}
