// Lets Apache Kafka's own classes write the bytes that the tests of src/protocol compare with (src/protocol/fixtures).
//   node scripts/generate/fixtures.mjs
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cache, fetchDefinitions, runMaven } from './definitions.mjs';

const sources = fileURLToPath(new URL('./java', import.meta.url));
const output = fileURLToPath(new URL('../../src/protocol/fixtures', import.meta.url));
const classes = join(cache, '.classes');
const classpathFile = join(cache, '.classpath');

function run(command, parameters) {
  const result = spawnSync(command, parameters, { stdio: 'inherit' });
  if (result.error || result.status !== 0) {
    throw new Error(`${command} failed (${result.error?.message ?? `exit ${result.status}`})`);
  }
}

fetchDefinitions();
runMaven('build-classpath', [`-Dmdep.outputFile=${classpathFile}`]);
mkdirSync(classes, { recursive: true });
mkdirSync(output, { recursive: true });
const classpath = readFileSync(classpathFile, 'utf8').trim();
const files = readdirSync(sources).map((name) => join(sources, name));
run('javac', ['-Xlint:all,-processing', '-cp', classpath, '-d', classes, ...files]);
run('java', ['-cp', `${classes}:${classpath}`, 'Fixtures', cache, output]);
