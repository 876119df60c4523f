// npm run docs: writes the generated documentation from the code (`-- --check` fails when it is out of date).
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, setup } from './setup.mjs';

setup();
const run = (script, ...args) =>
  execFileSync(process.execPath, [join(root, script), ...args], { encoding: 'utf8', env: {} });
const configuration = run('dist/kafabric/main.js', 'config', '--format', 'markdown');

function withDefaults(readme) {
  const table = configuration.match(/\| Key \| Default \| Kafka[\s\S]*?\n\n/)[0].trim();
  return readme.replace(/(<!-- defaults:begin[^\n]*\n)[\s\S]*?(<!-- defaults:end -->)/, `$1${table}\n\n$2`);
}

const readme = join(root, 'README.md');
const files = {
  [join(root, 'docs/configuration.md')]: configuration,
  [readme]: withDefaults(readFileSync(readme, 'utf8')),
};

const check = process.argv.includes('--check');
for (const [file, text] of Object.entries(files)) {
  let current = null;
  try {
    current = readFileSync(file, 'utf8');
  } catch {}
  if (current === text) continue;
  if (check) {
    console.error(`${file} is out of date: npm run docs`);
    process.exitCode = 1;
  } else writeFileSync(file, text);
}
