// Brings a checkout to the point where it can run: npm packages, native addon, compiled TypeScript.
// Does only what is out of date; a second call takes a fraction of a second.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const compiledFolders = ['src', 'compat-tests', 'bench'];

function fail(message) {
  console.error(`kafabric: ${message}`);
  process.exit(1);
}

/** Runs a command in the checkout; ends the process with its message when it fails. */
export function runOrExit(command, args, failure, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.status !== 0) fail(failure);
}

/** Whether a version is in a range of package.json's `engines`: `^20.19.4 || >=22.12.0`. */
export function isInRange(version, range) {
  return range.split('||').some((part) => {
    const [, kind, least] = /^\s*(\^|>=)(\d+\.\d+\.\d+)\s*$/.exec(part);
    const [one, other] = [version, least].map((text) => text.split('.').map(Number));
    const differing = one.findIndex((number, i) => number !== other[i]);
    return (kind === '>=' || one[0] === other[0]) && (differing < 0 || one[differing] > other[differing]);
  });
}

function checkNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  if (isInRange(process.versions.node, engines.node)) return;
  fail(`Node ${engines.node} is needed, this is ${process.versions.node}`);
}

function installPackages() {
  const stamp = join(root, 'node_modules/.kafabric-lock');
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  console.log('installing npm packages ...');
  // No package's install script is needed: the addon compiles what it takes from them itself.
  runOrExit(
    'npm',
    ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'],
    'npm ci failed',
  );
  writeFileSync(stamp, lock);
}

function newestSource(folder) {
  if (!existsSync(folder)) return 0;
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, statSync(path).mtimeMs, newestSource(path));
    else if (entry.name.endsWith('.ts')) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

function compileTypeScript() {
  const stamp = join(root, 'dist/.compiled');
  const newest = Math.max(
    ...compiledFolders.map((folder) => newestSource(join(root, folder))),
    // Packages are in the program, too.
    ...['tsconfig.json', 'package-lock.json', 'scripts/build-ts.mjs'].map(
      (file) => statSync(join(root, file)).mtimeMs,
    ),
  );
  if (existsSync(stamp) && Number(readFileSync(stamp, 'utf8')) === newest) return;
  console.log('compiling TypeScript ...');
  // A fresh dist/: the compiled twin of a deleted test must not run.
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  runOrExit(process.execPath, ['scripts/build-ts.mjs'], 'compiling TypeScript failed');
  writeFileSync(stamp, String(newest));
}

export function setup() {
  checkNode();
  installPackages();
  runOrExit(process.execPath, ['scripts/build-native.mjs'], 'building the native addon failed');
  compileTypeScript();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
