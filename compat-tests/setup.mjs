// Installs the Kafka clients that the compatibility suites drive, into compat-tests/.clients/ and the clients' own node_modules/.
// Does only what is out of date. A client whose toolchain is missing is named with the way to get it, and its suites are skipped.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const clients = join(here, '.clients');

/** A precondition that only the owner of the machine can meet. */
class Missing extends Error {}

function findCommand(name) {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, name)));
}

function requireCommands(names, how) {
  const absent = names.filter((name) => !findCommand(name));
  if (absent.length > 0) throw new Missing(`${absent.join(' and ')} not found; get it with: ${how}`);
}

/** Runs a command with its output in the client's log file; rejects with the end of that log when it fails. */
function run(log, command, args, options = {}) {
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

/** Debian packages: installed when this is Debian and we are root, otherwise named. */
async function debian(log, names) {
  const how = `apt-get install ${names.join(' ')}`;
  if (!findCommand('dpkg-query')) throw new Missing(`not a Debian system; on one: ${how}`);
  const installed = await installedDebianPackages(log, names);
  const missing = names.filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Missing(`get it with: sudo apt-get install ${missing.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...missing];
  await run(log, 'apt-get', install, { env }).catch(async () => {
    await run(log, 'apt-get', ['update', '-qq'], { env });
    await run(log, 'apt-get', install, { env });
  });
}

function npmInstall(log, folder, args = [], env = {}) {
  return run(log, 'npm', ['install', '--no-package-lock', '--loglevel=error', ...args], {
    cwd: join(here, folder),
    env,
  });
}

async function kcat(log) {
  if (!findCommand('kcat')) await debian(log, ['kcat']);
}

/** The prebuilt binary lives outside the package registry, so librdkafka and the binding are compiled here (minutes). */
async function confluentJavascript(log) {
  requireCommands(['g++', 'make', 'python3'], 'apt-get install g++ make python3');
  const headers = dirname(dirname(process.execPath));
  if (!existsSync(join(headers, 'include/node/node.h')))
    throw new Missing(
      `Node's headers are not in ${headers}/include/node; use a Node distribution that has them`,
    );
  await debian(log, [
    'libssl-dev',
    'zlib1g-dev',
    'libzstd-dev',
    'liblz4-dev',
    'libsasl2-dev',
    'libcurl4-openssl-dev',
  ]);
  // No parallel make: librdkafka's own build starts one, and the outer one misses a dependency.
  await npmInstall(log, 'confluent-kafka-javascript', ['--ignore-scripts=false', '--build-from-source'], {
    CKJS_LINKING: 'dynamic',
    npm_config_nodedir: headers,
    JOBS: '1',
  });
}

async function java(log) {
  requireCommands(['java', 'javac', 'mvn'], 'apt-get install default-jdk-headless maven');
  const libs = join(clients, 'java/libs');
  const pom = ['-B', '-q', '-f', join(here, 'java/pom.xml')];
  await run(log, 'mvn', [
    ...pom,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${libs}`,
  ]);
  const sources = readdirSync(join(here, 'java'))
    .filter((name) => name.endsWith('.java'))
    .map((name) => join(here, 'java', name));
  const classes = join(clients, 'java/classes');
  rmSync(classes, { recursive: true, force: true });
  await run(log, 'javac', ['-d', classes, '-cp', `${libs}/*`, ...sources]);
}

async function python(log) {
  requireCommands(['python3'], 'apt-get install python3 python3-venv');
  const venv = join(clients, 'python');
  await run(log, 'python3', ['-m', 'venv', venv]).catch((error) => {
    throw new Missing(
      `python3 cannot make a virtual environment (apt-get install python3-venv): ${error.message}`,
    );
  });
  await run(log, join(venv, 'bin/pip'), ['install', '-q', '-r', join(here, 'python/requirements.txt')]);
}

async function go(log) {
  requireCommands(
    ['go'],
    'apt-get install golang, or the tar file from the Go project; version 1.25 or newer',
  );
  await run(log, 'go', ['build', '-o', join(clients, 'go/driver'), '.'], { cwd: join(here, 'go') });
}

/** The object store that the storage tier S3 is tried on: Versity's S3 gateway over a directory. */
async function s3Server(log) {
  requireCommands(
    ['go'],
    'apt-get install golang, or the tar file from the Go project; version 1.26 or newer',
  );
  const version = readFileSync(join(here, 's3-server/version.txt'), 'utf8').trim();
  await run(log, 'go', ['install', `github.com/versity/versitygw/cmd/versitygw@${version}`], {
    env: { GOBIN: join(clients, 's3-server'), GOFLAGS: '-buildvcs=false' },
  });
}

/** What the benchmark's generator is compiled with, and the ssh server of its smoke test. */
async function bench(log) {
  await debian(log, ['gcc', 'libc6-dev', 'librdkafka-dev', 'openssh-server', 'openssh-client']);
}

/** What the tests of native/fabric load; without it they are skipped. */
async function libfabric(log) {
  await debian(log, ['libfabric1']);
}

/** Newer versions of Node, which the gateway is tried on; the npm registry has them as packages of one binary. */
async function nodeVersions(log) {
  const folder = join(clients, 'node-versions');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const binary = `node-${process.platform}-${process.arch}`;
  const packages = ['22', '24', '26'].map((version) => `node-${version}@npm:${binary}@${version}`);
  await npmInstall(log, '.clients/node-versions', packages);
}

/** Two lanes: the long compilation beside everything else. `inputs` are the files whose change calls for another installation. */
const lanes = [
  [
    {
      name: 'confluent-kafka-javascript',
      inputs: ['confluent-kafka-javascript/package.json'],
      install: confluentJavascript,
    },
  ],
  [
    { name: 'kafkajs', inputs: ['kafkajs/package.json'], install: (log) => npmInstall(log, 'kafkajs') },
    {
      name: 'platformatic-kafka',
      inputs: ['platformatic-kafka/package.json'],
      install: (log) => npmInstall(log, 'platformatic-kafka'),
    },
    { name: 'node-versions', inputs: [], install: nodeVersions },
    { name: 'kcat', inputs: [], install: kcat },
    { name: 'bench', inputs: [], install: bench },
    { name: 'libfabric', inputs: [], install: libfabric },
    { name: 'java', inputs: ['java'], install: java },
    { name: 'python', inputs: ['python/requirements.txt'], install: python },
    { name: 'go', inputs: ['go'], install: go },
    { name: 's3-server', inputs: ['s3-server'], install: s3Server },
  ],
];

function filesOf(path) {
  const names = path.includes('.') ? [path] : readdirSync(join(here, path)).map((name) => join(path, name));
  return names.filter((name) => !name.endsWith('.md')).sort();
}

function fingerprint(step) {
  const hash = createHash('sha256').update(`${here} ${process.versions.modules}`);
  for (const file of step.inputs.flatMap(filesOf)) hash.update(file).update(readFileSync(join(here, file)));
  return hash.digest('hex');
}

/** Resolves to null when the client is ready, or to the reason why it is not. */
async function prepare(step) {
  const stamp = join(clients, `${step.name}.stamp`);
  const wanted = fingerprint(step);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return null;
  rmSync(stamp, { force: true });
  const log = join(clients, `${step.name}.log`);
  const started = Date.now();
  console.log(`client ${step.name}: installing ...`);
  try {
    await step.install(log);
  } catch (error) {
    if (!(error instanceof Missing)) throw new Error(`client ${step.name}: ${error.message} (log: ${log})`);
    console.log(`client ${step.name}: skipped, ${error.message}`);
    return error.message;
  }
  writeFileSync(stamp, wanted);
  console.log(`client ${step.name}: ready after ${((Date.now() - started) / 1000).toFixed(0)} s`);
  return null;
}

mkdirSync(clients, { recursive: true });
const only = process.argv.slice(2);
const statusFile = join(clients, 'status.json');
const status = only.length > 0 && existsSync(statusFile) ? JSON.parse(readFileSync(statusFile, 'utf8')) : {};
await Promise.all(
  lanes.map(async (lane) => {
    for (const step of lane) {
      if (only.length > 0 && !only.includes(step.name)) continue;
      status[step.name] = await prepare(step).catch((error) => {
        console.error(error.message);
        process.exitCode = 1;
        return 'its installation failed';
      });
    }
  }),
);
writeFileSync(statusFile, JSON.stringify(status, null, 2));
