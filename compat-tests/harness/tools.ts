import assert from 'node:assert/strict';
import { patience } from './child.ts';
import type { Client } from './client.ts';

/** Runs one of Kafka's tools inside the virtual machine of a `java` client; rejects with its output when it fails. */
export async function runTool(java: Client, main: string, words: string[], input = ''): Promise<string> {
  const timeoutMs = 240_000 * patience;
  const { exitCode, output } = await java.call('tool', { main, args: words, input, timeoutMs });
  assert.equal(exitCode, 0, `${main} ${words.join(' ')}\n${output}`);
  return output;
}
