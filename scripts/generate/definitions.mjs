// Fetches Kafka's message definitions: JSON with comments, packed inside the Kafka jars.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const KAFKA_VERSION = '4.3.0';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Where the definitions are unpacked; safe to delete. */
export const cache = join(root, '.cache', `kafka-${KAFKA_VERSION}-messages`);

/** The plugin's version is pinned so that a regeneration does the same work everywhere. */
const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';

/** Where each jar keeps its definitions, inside the jar. */
const folders = ['common/message', 'common/metadata', 'message'];

/** Kafabric's own messages, in the same form. */
const own = fileURLToPath(new URL('./messages', import.meta.url));

/** Maven is needed only where the definitions were not fetched before. */
export class MavenMissingError extends Error {}

/** Runs a goal of Maven's dependency plugin over the Kafka jars. */
export function runMaven(goal, parameters) {
  const pom = fileURLToPath(new URL('./pom.xml', import.meta.url));
  const result = spawnSync(
    'mvn',
    ['-q', '-B', '-f', pom, `${plugin}:${goal}`, `-Dkafka.version=${KAFKA_VERSION}`, ...parameters],
    { stdio: 'inherit' },
  );
  if (result.error?.code === 'ENOENT') {
    throw new MavenMissingError('Maven is missing; on Debian: apt-get install maven');
  }
  if (result.error || result.status !== 0) {
    throw new Error(
      `Maven could not fetch the Kafka jars: ${result.error?.message ?? `exit ${result.status}`}`,
    );
  }
}

/** Unpacks the JSON files of the Kafka jars into .cache with Maven, once. */
export function fetchDefinitions() {
  const done = join(cache, '.complete');
  if (existsSync(done)) return;
  runMaven('unpack-dependencies', [
    '-Dmdep.unpack.includes=**/*.json',
    '-DincludeGroupIds=org.apache.kafka',
    '-DexcludeTransitive=true',
    `-DoutputDirectory=${cache}`,
  ]);
  writeFileSync(done, '');
}

/**
 * Every definition that has at least one version. Definitions of tiered storage are left out: Kafabric has its own payload tier.
 * @returns {object[]} parsed JSON, sorted by name
 */
export function readDefinitions() {
  const definitions = [];
  for (const folder of [...folders.map((name) => join(cache, name)), own]) {
    for (const file of readdirSync(folder)) {
      if (!file.endsWith('.json') || file.startsWith('Remote')) continue;
      const definition = JSON.parse(withoutComments(readFileSync(join(folder, file), 'utf8')));
      definition.origin = folder === own ? 'Kafabric' : `Apache Kafka ${KAFKA_VERSION}`;
      if (definition.validVersions !== 'none') definitions.push(definition);
    }
  }
  return definitions.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Removes `//` comments, leaving those inside string literals. */
function withoutComments(text) {
  return text.replace(/("(?:[^"\\]|\\.)*")|\/\/.*$/gm, (_, literal) => literal ?? '');
}
