/** Many clients on many hosts: the generator is copied to each, all start at the same moment. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { buildGenerator } from '../generators/build.ts';
import { Load } from '../generators/load.ts';
import { NativeGenerator } from '../generators/native.ts';
import { quoted } from '../tools.ts';
import { type HostReport, mergedText } from './merge.ts';
import { type ClientPlan, commandFor } from './plan.ts';

/**
 * Over ssh with nothing to ask: a host that wants a password is an error, not a prompt among sixteen. By a POSIX shell, whatever the user's is
 * there.
 */
function remote(plan: ClientPlan, host: string, command: string): string[] {
  return [...plan.ssh, '-o', 'BatchMode=yes', host, `exec sh -c ${quoted(command)}`];
}

/** Of what `mktemp -d` printed, behind what the shell's start files may have. It is removed at the end, so that nothing else will do. */
export function folderIn(output: string): string {
  const folder = output.trim().split('\n').at(-1)!;
  if (!/^\/[\w./-]+$/.test(folder)) throw new Error(`no new folder in ${JSON.stringify(output)}`);
  return folder;
}

/** The librdkafka that the program uses here, which goes along to hosts that may have none. */
function libraryOf(program: string): string {
  const line = /librdkafka\.so\.1 => (\S+)/.exec(execFileSync('ldd', [program], { encoding: 'utf8' }));
  if (!line) throw new Error('the generator is not linked with librdkafka');
  return line[1]!;
}

function copyOne(plan: ClientPlan, host: string, file: string, to: string): void {
  const [command, ...args] = remote(plan, host, `cat > ${quoted(to)} && chmod 755 ${quoted(to)}`);
  const { status, stderr, error } = spawnSync(command!, args, { input: readFileSync(realpathSync(file)) });
  if (status !== 0) throw new Error(`${host}: ${error?.message ?? stderr.toString().trim()}`);
}

/** Copies program and library into a new folder of the host; returns it. */
function install(plan: ClientPlan, host: string, program: string): string {
  const [command, ...args] = remote(plan, host, 'mktemp -d');
  const made = spawnSync(command!, args, { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`${host}: ${made.error?.message ?? made.stderr.trim()}`);
  const folder = folderIn(made.stdout);
  copyOne(plan, host, program, join(folder, 'client'));
  copyOne(plan, host, libraryOf(program), join(folder, 'librdkafka.so.1'));
  return folder;
}

/** The folder goes when the run has ended, however it did. */
function remoteLoad(plan: ClientPlan, index: number, program: string): Load {
  const host = plan.hosts![index]!;
  const folder = install(plan, host, program);
  const words = commandFor(plan, index, join(folder, 'client')).map(quoted).join(' ');
  const library = `LD_LIBRARY_PATH=${quoted(folder)}`;
  return new Load(remote(plan, host, `trap 'rm -rf ${folder}' EXIT; ${library} ${words}`));
}

/** Makes the topic for producers; one that is there already is used as it is. */
async function makeTopic(plan: ClientPlan, program: string): Promise<void> {
  if (plan.type === 'consumer') return;
  try {
    await new NativeGenerator(program, plan.bootstrap).createTopics([plan.topic], plan.partitions, {});
  } catch (error) {
    if (!/already exists/i.test((error as Error).message)) throw error;
  }
}

export async function runClients(plan: ClientPlan): Promise<HostReport[]> {
  const program = buildGenerator();
  await makeTopic(plan, program);
  const hosts = plan.hosts ?? ['this machine'];
  const loads: Load[] = [];
  try {
    for (const index of hosts.keys())
      loads.push(plan.hosts ? remoteLoad(plan, index, program) : new Load(commandFor(plan, index, program)));
    await Promise.all(loads.map((load) => load.ready));
    for (const load of loads) load.go();
    const reports = await Promise.all(loads.map((load) => load.report));
    return reports.map((report, index) => ({ host: hosts[index]!, report }));
  } finally {
    for (const load of loads) load.kill();
  }
}

export async function printClients(plan: ClientPlan): Promise<void> {
  console.log(mergedText(await runClients(plan)));
}
