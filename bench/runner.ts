import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { buildGenerator, generatorVersion } from './generators/build.ts';
import { consumerProperties, producerProperties } from './generators/native.ts';
import { cachesText, describeMachine, levelMemory, memoryText } from './measure/machine.ts';
import { quiet } from './measure/meter.ts';
import { tracer } from './measure/syscalls.ts';
import type { Measurement, Omission, Results } from './model.ts';
import type { Options } from './options.ts';
import { Pass, topicLimits } from './pass.ts';
import { Bare } from './systems/bare.ts';
import { type DeploymentName, deployments, settingsText, variants } from './systems/deployments.ts';
import { External } from './systems/external.ts';
import { Kafabric } from './systems/kafabric.ts';
import { Kafka, kafkaLimits } from './systems/kafka.ts';
import type { System } from './systems/system.ts';
import { selectWorkloads } from './workloads/index.ts';
import { sustainedFactor } from './workloads/produce.ts';
import { Omitted, type Workload } from './workloads/workload.ts';

function makeSystem(name: string, options: Options): System {
  const variant = variants[name]!;
  if (variant.kind === 'kafabric')
    return new Kafabric(options.dataFolder, name, variant, options.kafabricOverrides);
  if (variant.kind === 'bare') return new Bare(options.dataFolder, name, variant);
  const heap =
    name === 'kafka' && options.kafkaHeap
      ? { heap: options.kafkaHeap, about: `heap ${options.kafkaHeap}` }
      : {};
  return new Kafka(options.dataFolder, name, { ...variant, ...heap }, options.kafkaOverrides);
}

function makeSystems(options: Options): System[] {
  const external = options.targets.map(({ name, bootstrap, pid }) => new External(name, bootstrap, pid));
  return [...options.systems.map((name) => makeSystem(name, options)), ...external];
}

/** What a broker does in the background after its start and after its first load (Java compiles, Kafabric makes its arena's pages present). */
const startPatienceMs = 40_000;
/** Small requests of the warm-up, and how long it sends them at most. */
const warmRequests = 150_000;
const warmSeconds = 8;

/**
 * Compiled code and grown buffers on the broker's side, as a broker has that has been up for a minute: what a request costs falls to a
 * fraction within the first ten thousands, on the Java virtual machine as on Node's.
 */
export async function warmUp(pass: Pass): Promise<void> {
  if (pass.system.pid !== null) await quiet(pass.system.pid, startPatienceMs);
  const topic = await pass.topic(4);
  const seconds = pass.options.seconds;
  for (const size of [1000, 100_000]) {
    const properties = producerProperties('all');
    const { records } = await pass.native.run('produce', { topic, size, seconds, bytes: 400e6, properties });
    if (pass.system.producesOnly) continue;
    await pass.native.run('consume', {
      topic,
      partitions: 4,
      records: records!,
      seconds,
      properties: consumerProperties,
    });
  }
  // Many requests, each with one record of a size that large records have: code for a megabyte is compiled after some thousands.
  const properties = { ...producerProperties('all'), 'batch.num.messages': '1' };
  await pass.native.run('produce', { topic, size: 70_000, seconds: 4 * seconds, bytes: 8e9, properties });
  if (!pass.system.producesOnly) await warmSmall(pass, topic);
  await pass.drop(topic);
  if (pass.system.pid !== null) await quiet(pass.system.pid, startPatienceMs);
}

async function warmSmall(pass: Pass, topic: string): Promise<void> {
  const small = { topic, partitions: 4, size: 100, clients: 4, depth: 5 };
  await pass.native.run('raw', { ...small, records: warmRequests, seconds: warmSeconds });
}

async function runWorkload(workload: Workload, pass: Pass): Promise<Omission | null> {
  if (pass.system.producesOnly && !workload.producesOnly) return null;
  if (workload.needsControl && !pass.system.controllable)
    return new Omitted('the benchmark does not start and stop this system').of(
      workload.name,
      pass.system.info.name,
    );
  try {
    await workload.run(pass);
    return null;
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof Omitted) {
      console.error(`  ${workload.name}: left out: ${message}`);
      return error.of(workload.name, pass.system.info.name);
    }
    const reason = [message, pass.system.ended()].filter((part) => part !== null).join('; ');
    console.error(`  ${workload.name}: FAILED: ${reason}`);
    return { workload: workload.name, system: pass.system.info.name, reason, round: pass.round };
  }
}

interface Collected {
  measurements: Measurement[];
  omissions: Omission[];
}

/** One system, alone on the machine, through all workloads of a deployment. */
async function runPass(
  system: System,
  deployment: DeploymentName,
  chosen: Workload[],
  round: number,
  options: Options,
  program: string,
  into: Collected,
): Promise<void> {
  console.log(
    `\nround ${round + 1} of ${options.rounds}: ${system.info.name}, ${deployments[deployment].about}`,
  );
  if (system.controllable) await levelMemory();
  const left = chosen.map(({ name }) => name);
  let pass: Pass | null = null;
  try {
    pass = new Pass(system, options, round, program, await system.start(deployment), warmUp);
    let warm = false;
    for (const workload of chosen) {
      // Start-up and memory at rest are those of a broker that nobody has used.
      if (!warm && workload.name !== 'startup') {
        await warmUp(pass);
        warm = true;
      }
      const from = performance.now();
      const omission = await runWorkload(workload, pass);
      console.log(`  ${workload.name} took ${((performance.now() - from) / 1000).toFixed(0)} s`);
      left.shift();
      if (omission) into.omissions.push(omission);
      const ended = system.ended();
      if (ended !== null) throw new Error(omission ? `it ended in ${workload.name}` : ended);
    }
    await pass.dropLeft();
  } catch (error) {
    const reason = (error as Error).message;
    console.error(`  FAILED: ${reason}`);
    for (const workload of left) into.omissions.push({ workload, system: system.info.name, reason, round });
  } finally {
    into.measurements.push(...(pass?.measurements ?? []));
    await system.stop('SIGTERM');
    system.clear();
  }
}

function syscallsText({ syscalls }: Options): string {
  if (!syscalls) return 'not counted';
  return tracer() ? `counted with ${tracer()}, in runs of their own` : 'not counted: needs perf or strace';
}

function settings(options: Options, chosen: readonly Workload[], program: string): Record<string, string> {
  const kafka = { ...kafkaLimits, ...options.kafkaOverrides };
  return {
    client: `${generatorVersion(program)} in a C program, on the same ${availableParallelism()} cores as the broker`,
    'one measurement': `${options.seconds} s or ${options.bytes / 1e6} MB, whichever comes first${options.quick ? '' : `; the plain produce cases ${sustainedFactor} times as long`}`,
    'free memory': memoryText(),
    "consumers' memory": 'in use just before, on every system',
    'page cache': cachesText(),
    'system calls': syscallsText(options),
    'Kafabric beyond its defaults': settingsText(chosen, 'kafabric', options.kafabricOverrides),
    'Kafka beyond its defaults': `replication factor 1 for internal topics; ${settingsText(chosen, 'kafka', kafka)}`,
    'topics beyond their defaults, on every system': settingsText(chosen, 'topics', topicLimits),
  };
}

/** Runs everything that the options ask for: A B A B ..., so that a machine that changes its pace changes it for all. */
export async function runBenchmark(options: Options, command: string): Promise<Results> {
  const started = new Date();
  mkdirSync(options.dataFolder, { recursive: true });
  const program = buildGenerator();
  const systems = makeSystems(options);
  const chosen = selectWorkloads(options.workloads, options.quick);
  const collected: Collected = { measurements: [], omissions: [] };
  for (let round = 0; round < options.rounds; round++) {
    const isLater = round > 0 && options.workloads === null;
    for (const deployment of Object.keys(deployments) as DeploymentName[]) {
      const here = chosen.filter((one) => one.deployment === deployment && !(isLater && one.once));
      if (here.length === 0) continue;
      for (const system of systems)
        await runPass(system, deployment, here, round, options, program, collected);
    }
  }
  return {
    started: started.toISOString(),
    seconds: Math.round((Date.now() - started.getTime()) / 1000),
    command,
    mode: options.quick ? 'quick' : 'full',
    rounds: options.rounds,
    machine: describeMachine(options.dataFolder),
    settings: settings(options, chosen, program),
    systems: systems.map(({ info }) => info),
    workloads: chosen.map(({ name, about }) => ({ name, about })),
    ...collected,
  };
}
