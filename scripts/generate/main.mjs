// Generates src/protocol/generated from Kafka's message definitions.
//   node scripts/generate/main.mjs            writes the files
//   node scripts/generate/main.mjs --check    fails if they differ from what would be written
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchDefinitions, KAFKA_VERSION, MavenMissingError, readDefinitions } from './definitions.mjs';
import { emitApiKeys, emitIndex } from './emit-index.mjs';
import { emitMessage, fileName } from './emit-message.mjs';
import { buildMessages } from './model.mjs';

/** Exit code that scripts/test.mjs counts as skipped. */
const SKIPPED = 77;

const output = fileURLToPath(new URL('../../src/protocol/generated', import.meta.url));

/** @returns {Map<string, string>} file name to content */
function generate() {
  fetchDefinitions();
  const messages = buildMessages(readDefinitions());
  const files = new Map(messages.map((message) => [fileName(message.name), emitMessage(message)]));
  files.set('index.ts', emitIndex(messages, KAFKA_VERSION));
  files.set('api-key.ts', emitApiKeys(messages, KAFKA_VERSION));
  return files;
}

function write(files) {
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  for (const [name, content] of files) writeFileSync(join(output, name), content);
  console.log(`wrote ${files.size} files to src/protocol/generated`);
}

function check(files) {
  const present = existsSync(output) ? readdirSync(output) : [];
  const stale = present.filter((name) => !files.has(name));
  for (const [name, content] of files) {
    if (!present.includes(name) || readFileSync(join(output, name), 'utf8') !== content) stale.push(name);
  }
  if (stale.length > 0) {
    console.error(
      `src/protocol/generated is out of date; run \`npm run generate\`:\n  ${stale.join('\n  ')}`,
    );
    process.exit(1);
  }
  console.log(`src/protocol/generated is up to date (${files.size} files)`);
}

try {
  const files = generate();
  if (process.argv.includes('--check')) check(files);
  else write(files);
} catch (error) {
  if (!(error instanceof MavenMissingError)) throw error;
  console.error(`src/protocol/generated: ${error.message}`);
  process.exit(SKIPPED);
}
