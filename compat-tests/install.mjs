// What the steps of setup.mjs are made of.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));

/** Where everything is installed. */
export const clients = join(here, '.clients');

/** A precondition that only the owner of the machine can meet. */
export class Missing extends Error {}

export function findCommand(name) {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, name)));
}

export function requireCommands(names, how) {
  const absent = names.filter((name) => !findCommand(name));
  if (absent.length > 0) throw new Missing(`${absent.join(' and ')} not found; get it with: ${how}`);
}

/** Runs a command with its output in the client's log file; rejects with the end of that log when it fails. */
export function run(log, command, args, options = {}) {
  return new Promise((done, fail) => {
    const out = createWriteStream(log, { flags: 'a' });
    const child = spawn(command, args, {
      cwd: here,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
      env: { ...process.env, ...options.env },
    });
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        out.write(chunk);
        tail = (tail + chunk).slice(-2000);
      });
    }
    child.on('error', fail);
    child.on('close', (code) => {
      out.end();
      if (code === 0) done(tail);
      else fail(new Error(`${command} ${args.join(' ')} ended with ${code}\n${tail}`));
    });
  });
}

async function installedDebianPackages(log, names) {
  const status = await run(log, 'dpkg-query', [
    '-W',
    `-f=$\{Package} $\{db:Status-Status}\n`,
    ...names,
  ]).catch((error) => error.message);
  return new Set([...status.matchAll(/^(\S+) installed$/gm)].map((match) => match[1]));
}

/** The installation of Debian packages that was begun last: apt-get does not wait for another one. */
let aptGet = Promise.resolve();

/** Debian packages: installed when this is Debian and we are root, otherwise named. */
export async function debian(log, names) {
  const how = `apt-get install ${names.join(' ')}`;
  if (!findCommand('dpkg-query')) throw new Missing(`not a Debian system; on one: ${how}`);
  const installed = await installedDebianPackages(log, names);
  const missing = names.filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Missing(`get it with: sudo apt-get install ${missing.join(' ')}`);
  aptGet = aptGet.catch(() => {}).then(() => aptInstall(log, missing));
  await aptGet;
}

async function aptInstall(log, names) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const patience = ['-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=5'];
  const install = [...patience, 'install', '-y', '-qq', '--no-install-recommends', ...names];
  await run(log, 'apt-get', install, { env }).catch(async () => {
    await run(log, 'apt-get', [...patience, 'update', '-qq'], { env });
    await run(log, 'apt-get', install, { env });
  });
}

export function npmInstall(log, folder, args = [], env = {}) {
  return run(log, 'npm', ['install', '--no-package-lock', '--loglevel=error', ...args], {
    cwd: join(here, folder),
    env,
  });
}

const javaTools = ['java', 'javac', 'mvn'];
const javaHow = 'apt-get install default-jdk-headless maven';

/** What the pom.xml of a folder names, with what that needs, goes to `libs` of .clients/`name`; resolves to that path. */
export async function mavenLibraries(log, name, folder) {
  requireCommands(javaTools, javaHow);
  const libs = join(clients, name, 'libs');
  const settings = join(here, folder, 'settings.xml');
  const maven = ['-B', '-q', '-f', join(here, folder, 'pom.xml')];
  if (existsSync(settings)) maven.push('-s', settings);
  await run(log, 'mvn', [
    ...maven,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${libs}`,
  ]);
  return libs;
}

/** A folder with pom.xml and sources: its dependencies and classes go to `libs` and `classes` of .clients/`name`. */
export async function javaProgram(log, name, folder) {
  const libs = await mavenLibraries(log, name, folder);
  const sources = readdirSync(join(here, folder))
    .filter((file) => file.endsWith('.java'))
    .map((file) => join(here, folder, file));
  const classes = join(clients, name, 'classes');
  rmSync(classes, { recursive: true, force: true });
  await run(log, 'javac', ['-d', classes, '-cp', `${libs}/*`, ...sources]);
}

/** Unpacks a tar file of Maven Central (`group:artifact:version:tar.gz:classifier`) into .clients/`name`. */
export async function mavenArchive(log, name, artifact) {
  requireCommands(['java', 'mvn', 'tar'], javaHow);
  const folder = join(clients, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await run(log, 'mvn', [
    '-B',
    '-q',
    'dependency:copy',
    `-Dartifact=${artifact}`,
    `-DoutputDirectory=${folder}`,
  ]);
  const [archive] = readdirSync(folder);
  await run(log, 'tar', ['xzf', archive], { cwd: folder });
  rmSync(join(folder, archive));
}

/** A command of a Go module, `path@version`, is built into .clients/`name`; `tags` leave out what is not needed. */
export async function goInstall(log, name, command, tags = []) {
  requireCommands(
    ['go'],
    'apt-get install golang, or the tar file from the Go project; version 1.26 or newer',
  );
  // Without debugging information: linking takes half the memory.
  await run(log, 'go', ['install', '-ldflags', '-s -w', '-tags', tags.join(','), command], {
    env: { GOBIN: join(clients, name), GOFLAGS: '-buildvcs=false' },
  });
}

/** A virtual environment of Python in .clients/`name`, with what the file of requirements lists. */
export async function virtualEnvironment(log, name, requirements) {
  requireCommands(['python3'], 'apt-get install python3 python3-venv');
  const venv = join(clients, name);
  await run(log, 'python3', ['-m', 'venv', venv]).catch((error) => {
    throw new Missing(
      `python3 cannot make a virtual environment (apt-get install python3-venv): ${error.message}`,
    );
  });
  await run(log, join(venv, 'bin/pip'), ['install', '-q', '-r', join(here, requirements)]);
}
