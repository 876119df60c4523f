// Installs the Kafka clients that the compatibility suites drive, into compat-tests/.clients/ and the clients' own node_modules/.
// Does only what is out of date. A client whose toolchain is missing is named with the way to get it, and its suites are skipped.
// What only the ecosystem suite uses is installed when it is named: `node compat-tests/setup.mjs ecosystem`.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ecosystemSteps } from './ecosystem/steps.mjs';
import {
  clients,
  debian,
  findCommand,
  goInstall,
  here,
  javaProgram,
  Missing,
  npmInstall,
  requireCommands,
  run,
  virtualEnvironment,
} from './install.mjs';

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

const java = (log) => javaProgram(log, 'java', 'java');

const python = (log) => virtualEnvironment(log, 'python', 'python/requirements.txt');

async function go(log) {
  requireCommands(
    ['go'],
    'apt-get install golang, or the tar file from the Go project; version 1.25 or newer',
  );
  await run(log, 'go', ['build', '-o', join(clients, 'go/driver'), '.'], { cwd: join(here, 'go') });
}

/** The object store that the storage tier S3 is tried on: Versity's S3 gateway over a directory. */
async function s3Server(log) {
  const version = readFileSync(join(here, 's3-server/version.txt'), 'utf8').trim();
  await goInstall(log, 's3-server', `github.com/versity/versitygw/cmd/versitygw@${version}`);
}

/** What the benchmark's generator is compiled with, and the ssh server of its smoke test. */
async function bench(log) {
  await debian(log, ['gcc', 'libc6-dev', 'librdkafka-dev', 'openssh-server', 'openssh-client']);
}

/** What the tests of native/fabric load; without it they are skipped. */
async function libfabric(log) {
  await debian(log, ['libfabric1']);
}

/** A newer libfabric than Debian's, which the fabric is tried on: the one in MPICH's wheel. */
const newerLibfabric = (log) => virtualEnvironment(log, 'libfabric-2', 'libfabric-2/requirements.txt');

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
    { name: 'libfabric-2', inputs: ['libfabric-2/requirements.txt'], install: newerLibfabric },
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
  const hash = createHash('sha256').update(`${here} ${process.versions.modules}${step.version ?? ''}`);
  for (const file of step.inputs.flatMap(filesOf)) hash.update(file).update(readFileSync(join(here, file)));
  return hash.digest('hex');
}

/** What waits between attempts, in seconds: a registry may be out of reach for a moment. */
const pauses = [5, 30];

async function install(step, log) {
  for (const pause of [...pauses, null]) {
    try {
      return await step.install(log, step.version);
    } catch (error) {
      if (error instanceof Missing || pause === null) throw error;
      console.log(`client ${step.name}: failed, trying again in ${pause} s (log: ${log})`);
      await setTimeout(pause * 1000);
    }
  }
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
    await install(step, log);
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
const ecosystemNames = ecosystemSteps.map(({ name }) => name);
const only = process.argv.slice(2).flatMap((name) => (name === 'ecosystem' ? ecosystemNames : [name]));
const statusFile = join(clients, 'status.json');
const status = existsSync(statusFile) ? JSON.parse(readFileSync(statusFile, 'utf8')) : {};
await Promise.all(
  (only.length > 0 ? [...lanes, ecosystemSteps] : lanes).map(async (lane) => {
    for (const step of lane) {
      if (only.length > 0 && !only.includes(step.name)) continue;
      status[step.name] = await prepare(step).catch((error) => {
        console.error(error.message);
        process.exitCode = 1;
        return 'its installation failed';
      });
      writeFileSync(statusFile, JSON.stringify(status, null, 2));
    }
  }),
);
