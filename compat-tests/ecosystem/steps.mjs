// What the ecosystem suite runs, beyond the clients of setup.mjs. Hundreds of megabytes: none of it is installed for npm test.
import { join } from 'node:path';
import {
  clients,
  debian,
  goInstall,
  here,
  javaProgram,
  mavenArchive,
  mavenLibraries,
  npmInstall,
  run,
  virtualEnvironment,
} from '../install.mjs';

/** Apicurio Registry itself; the Java that it needs is in the virtual environment `ecosystem-python`. */
const apicurio = (log, version) =>
  mavenArchive(log, 'apicurio', `io.apicurio:apicurio-registry-app:${version}:tar.gz:all`);

const debezium = (log, version) =>
  mavenArchive(log, 'debezium', `io.debezium:debezium-connector-postgres:${version}:tar.gz:plugin`);

/** pyspark brings all of Spark but its connectors. */
async function spark(log) {
  await virtualEnvironment(log, 'spark', 'ecosystem/python/spark-requirements.txt');
  await mavenLibraries(log, 'spark', 'ecosystem/spark');
}

const telegrafPlugins = [
  ...['inputs.file', 'inputs.kafka_consumer', 'outputs.file', 'outputs.kafka'],
  ...['parsers.influx', 'serializers.influx'],
];

const telegraf = (log, version) =>
  goInstall(log, 'telegraf', `github.com/influxdata/telegraf/cmd/telegraf@${version}`, [
    'custom',
    ...telegrafPlugins,
  ]);

/** A collector of OpenTelemetry is put together by a builder, from the components that its file names. */
async function opentelemetry(log, version) {
  await goInstall(log, 'opentelemetry', `go.opentelemetry.io/collector/cmd/builder@${version}`);
  const folder = join(clients, 'opentelemetry');
  await run(log, join(folder, 'builder'), ['--config', join(here, 'ecosystem/opentelemetry/builder.yaml')], {
    cwd: folder,
    env: { GOFLAGS: '-buildvcs=false' },
  });
}

/** One after another; `version` is handed to `install` and, as `inputs`, calls for another installation when it changes. */
export const ecosystemSteps = [
  {
    name: 'ecosystem-python',
    inputs: ['ecosystem/python/requirements.txt'],
    install: (log) => virtualEnvironment(log, 'ecosystem-python', 'ecosystem/python/requirements.txt'),
  },
  { name: 'apicurio', version: '3.3.3', inputs: [], install: apicurio },
  {
    name: 'ecosystem-node',
    inputs: ['ecosystem/node/package.json'],
    install: (log) => npmInstall(log, 'ecosystem/node'),
  },
  { name: 'avro', inputs: ['ecosystem/avro'], install: (log) => javaProgram(log, 'avro', 'ecosystem/avro') },
  { name: 'postgresql', inputs: [], install: (log) => debian(log, ['postgresql']) },
  { name: 'debezium', version: '3.6.1.Final', inputs: [], install: debezium },
  {
    name: 'quix',
    inputs: ['ecosystem/python/quix-requirements.txt'],
    install: (log) => virtualEnvironment(log, 'quix', 'ecosystem/python/quix-requirements.txt'),
  },
  {
    name: 'flink',
    inputs: ['ecosystem/flink'],
    install: (log) => javaProgram(log, 'flink', 'ecosystem/flink'),
  },
  {
    name: 'spark',
    inputs: ['ecosystem/python/spark-requirements.txt', 'ecosystem/spark'],
    install: spark,
  },
  { name: 'telegraf', version: 'v1.37.2', inputs: [], install: telegraf },
  {
    name: 'opentelemetry',
    version: 'v0.155.0',
    inputs: ['ecosystem/opentelemetry'],
    install: opentelemetry,
  },
];
