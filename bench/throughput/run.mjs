// Produce and consume throughput and broker CPU per GB, Kafabric and Apache Kafka in turn on this machine with the same librdkafka client.
//   node bench/throughput/run.mjs [--sizes 1000,100000,1000000] [--rounds 3] [--bytes 1e9] [--acks all] [--durability flush|os]
// Needs gcc and librdkafka-dev, Java and Maven. Each system runs alone; rounds alternate; medians are printed.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const cache = join(root, '.cache/bench');
const kafkaVersion = '4.3.0';
const partitions = 4;

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000,100000,1000000' },
    rounds: { type: 'string', default: '3' },
    bytes: { type: 'string', default: '1e9' },
    acks: { type: 'string', default: 'all' },
    durability: { type: 'string', default: 'os' },
    targets: { type: 'string', default: 'kafabric,kafka' },
  },
});

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

function buildClient() {
  mkdirSync(cache, { recursive: true });
  const program = join(cache, 'client');
  execFileSync('gcc', ['-O2', '-o', program, join(here, 'client.c'), '-lrdkafka'], { stdio: 'inherit' });
  return program;
}

function kafkaLibraries() {
  const libs = join(cache, `kafka-${kafkaVersion}`);
  execFileSync(
    'mvn',
    ['-q', '-f', join(here, 'kafka-pom.xml'), 'dependency:copy-dependencies', `-DoutputDirectory=${libs}`],
    { stdio: 'inherit' },
  );
  return libs;
}

async function waitForPort(port, child) {
  const { connect } = await import('node:net');
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}`);
    const open = await new Promise((done) => {
      const socket = connect(port, '127.0.0.1', () => done(true)).on('error', () => done(false));
      socket.on('connect', () => socket.end());
    });
    if (open) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('the broker did not open its port');
}

const systems = {
  async kafabric(dir, port) {
    const metricsPort = await freePort();
    const overrides = [
      `listeners=PLAINTEXT://127.0.0.1:${port}`,
      `metrics.listener=http://127.0.0.1:${metricsPort}`,
      `log.dirs=${dir}/data`,
      `num.partitions=${partitions}`,
      `log.durability=${options.durability}`,
    ];
    return spawn(
      process.execPath,
      [join(root, 'dist/src/server/cli/main.js'), 'start', ...overrides.flatMap((o) => ['--override', o])],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
  },
  async kafka(dir, port) {
    const libs = kafkaLibraries();
    const controller = await freePort();
    const config = join(dir, 'server.properties');
    writeFileSync(
      config,
      `process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:${controller}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}\ncontroller.listener.names=CONTROLLER
log.dirs=${dir}/data\nnum.partitions=${partitions}\nmessage.max.bytes=104857600\noffsets.topic.replication.factor=1
transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n` +
        (options.durability === 'flush' ? 'log.flush.interval.messages=1\n' : ''),
    );
    const java = ['-Xmx1g', '-Xms1g', '-cp', `${libs}/*`];
    const id = execFileSync('java', [...java, 'kafka.tools.StorageTool', 'random-uuid'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    execFileSync(
      'java',
      [...java, 'kafka.tools.StorageTool', 'format', '-t', String(id).trim(), '-c', config],
      { stdio: 'ignore' },
    );
    return spawn('java', [...java, 'kafka.Kafka', config], { stdio: 'ignore' });
  },
};

/** CPU seconds that a process has used, of user and system time. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function runClient(client, args) {
  return new Promise((done, fail) => {
    const child = spawn(client, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.on('close', (code) =>
      code === 0 ? done(JSON.parse(output)) : fail(new Error(`client ended with ${code}`)),
    );
  });
}

async function measure(broker, client, args) {
  const before = cpuSeconds(broker.pid);
  const { bytes, seconds } = await runClient(client, args);
  return { mbPerSecond: bytes / 1e6 / seconds, cpuPerGb: (cpuSeconds(broker.pid) - before) / (bytes / 1e9) };
}

async function runOnce(system, client, sizes) {
  const dir = mkdtempSync(join(cache, `${system}-`));
  const port = await freePort();
  const broker = await systems[system](dir, port);
  const results = {};
  try {
    await waitForPort(port, broker);
    const bootstrap = `127.0.0.1:${port}`;
    await runClient(client, ['produce', bootstrap, 'warm', '1000', '100000', 'acks=1']);
    for (const size of sizes) {
      const records = Math.ceil(Number(options.bytes) / size);
      const topic = `t${size}`;
      const queue = ['queue.buffering.max.kbytes=524288', 'message.max.bytes=100000000', 'linger.ms=5'];
      // Makes the topic, so that its creation is not measured.
      await runClient(client, ['produce', bootstrap, topic, String(size), '1', ...queue]);
      const produce = [
        'produce',
        bootstrap,
        topic,
        String(size),
        String(records),
        `acks=${options.acks}`,
        ...queue,
      ];
      const consume = [
        'consume',
        bootstrap,
        topic,
        String(partitions),
        String(records),
        'fetch.message.max.bytes=16777216',
      ];
      results[size] = {
        produce: await measure(broker, client, produce),
        consume: await measure(broker, client, consume),
      };
      console.log(system, size, JSON.stringify(results[size]));
    }
  } finally {
    broker.kill('SIGTERM');
    await new Promise((done) => (broker.exitCode === null ? broker.once('close', done) : done()));
    rmSync(dir, { recursive: true, force: true });
  }
  return results;
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

const client = buildClient();
const sizes = options.sizes.split(',').map(Number);
const targets = options.targets.split(',');
const rounds = [];
for (let round = 0; round < Number(options.rounds); round++) {
  const results = {};
  for (const system of targets) results[system] = await runOnce(system, client, sizes);
  rounds.push(results);
}
console.log(
  `\nacks=${options.acks}, durability ${options.durability}, ${partitions} partitions, median of ${rounds.length} rounds`,
);
console.log(
  '| record bytes | system | produce MB/s | CPU s/GB | consume MB/s | CPU s/GB |\n|---|---|---|---|---|---|',
);
for (const size of sizes) {
  for (const system of targets) {
    const of = (what, figure) =>
      median(rounds.map((r) => r[system][size][what][figure])).toFixed(figure === 'mbPerSecond' ? 0 : 2);
    console.log(
      `| ${size} | ${system} | ${of('produce', 'mbPerSecond')} | ${of('produce', 'cpuPerGb')} | ${of('consume', 'mbPerSecond')} | ${of('consume', 'cpuPerGb')} |`,
    );
  }
}
