// Compares the native reactor with a plain Node server, with the same load in the same run. See README.md.
//
//   npm run build && node dist/bench/net/run.js [rounds] [seconds] [case]
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { median } from '../measure/statistics.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 15);
const seconds = Number(process.argv[3] ?? 1);
/** Only cases whose name contains this. */
const only = process.argv[4] ?? '';

const servers = ['kafabric', 'node', 'node-corked', 'bare'] as const;

interface Case {
  name: string;
  connections: number;
  depth: number;
  bytes: number;
  /** Targets, against `node`: requests per second at least, and median latency at most, this many times its own. */
  minRate: number | null;
  maxP50: number | null;
}

const cases: Case[] = [
  {
    name: '16 KiB frames, 2 connections, 32 in flight',
    connections: 2,
    depth: 32,
    bytes: 16384,
    minRate: 2.5,
    maxP50: null,
  },
  {
    name: '200 B requests, 64 connections, 5 in flight',
    connections: 64,
    depth: 5,
    bytes: 200,
    minRate: 1.8,
    maxP50: null,
  },
  {
    name: '200 B requests, 64 connections, 1 in flight',
    connections: 64,
    depth: 1,
    bytes: 200,
    minRate: 1.8,
    maxP50: null,
  },
  {
    name: '1 MiB frames, 2 connections, 4 in flight',
    connections: 2,
    depth: 4,
    bytes: 1 << 20,
    minRate: null,
    maxP50: null,
  },
  { name: '200 B round trips, 1 connection', connections: 1, depth: 1, bytes: 200, minRate: null, maxP50: 1 },
];

interface Result {
  perSecond: number;
  p50Us: number;
  p99Us: number;
  serverCpuUs: number;
  loadCpuUs: number;
  switches: number;
}

type Lines = AsyncIterator<string>;

function build(name: string): string {
  mkdirSync(`${root}build/bench`, { recursive: true });
  const program = `${root}build/bench/net-${name}`;
  const args = ['-std=c++17', '-O2', '-o', program, `${root}bench/net/${name}.cc`];
  execFileSync(process.env.CXX ?? 'c++', args, { stdio: 'inherit' });
  return program;
}

async function nextLine(lines: Lines): Promise<string> {
  const { value, done } = await lines.next();
  if (done) throw new Error('a server or the generator has ended');
  return value;
}

function linesOf(child: ChildProcess): Lines {
  return createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
}

/** A server that runs through all rounds of a case, as a broker does: what it runs is compiled by then. */
class Server {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #lines: Lines;
  #port = '';

  constructor(name: string) {
    const script = fileURLToPath(new URL('servers.js', import.meta.url));
    const [command, ...options] = name === 'bare' ? [bare] : [process.execPath, script, name];
    this.name = name;
    this.#child = spawn(command, options, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = linesOf(this.#child);
  }

  async start(): Promise<void> {
    this.#port = await nextLine(this.#lines);
  }

  stop(): void {
    this.#child.stdin!.end();
  }

  async #usage(): Promise<number[]> {
    this.#child.stdin!.write('\n');
    return (await nextLine(this.#lines)).split(' ').map(Number);
  }

  async measure(load: Case): Promise<Result> {
    const [cpuBefore = 0, switchesBefore = 0] = await this.#usage();
    const args = [this.#port, load.connections, load.depth, load.bytes, seconds].map(String);
    const generator = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const figures = (await nextLine(linesOf(generator))).split(' ').map(Number);
    const [perSecond = 0, p50Us = 0, p99Us = 0, loadCpuUs = 0] = figures;
    const [cpuUs = 0, switches = 0] = await this.#usage();
    // The server counts the warm-up of a quarter as well.
    const requests = perSecond * seconds * 1.25;
    return {
      perSecond,
      p50Us,
      p99Us,
      serverCpuUs: (cpuUs - cpuBefore) / requests,
      loadCpuUs,
      switches: (switches - switchesBefore) / requests,
    };
  }
}

/** All servers of a case stay up, and take turns: a machine that changes its pace changes it for all. */
async function run(load: Case): Promise<Map<string, Result[]>> {
  // The bare server takes whole small frames only.
  const names = servers.filter((server) => server !== 'bare' || load.bytes < 4096);
  const running = names.map((name) => new Server(name));
  const results = new Map<string, Result[]>(names.map((name) => [name, []]));
  try {
    for (const server of running) await server.start();
    for (const server of running) await server.measure(load); // compiles
    for (let round = 0; round < rounds; round++) {
      for (const server of running) results.get(server.name)!.push(await server.measure(load));
    }
  } finally {
    for (const server of running) server.stop();
  }
  return results;
}

function report(load: Case, results: Map<string, Result[]>): void {
  console.log(load.name);
  for (const [server, all] of results) {
    const of = (key: keyof Result, digits: number): string =>
      median(all.map((one) => one[key])).toFixed(digits);
    const latency = `p50 ${of('p50Us', 0)} us, p99 ${of('p99Us', 0)} us`;
    const cost = `CPU ${of('serverCpuUs', 2)} us, ${of('switches', 2)} switches, load's CPU ${of('loadCpuUs', 2)} us`;
    console.log(`  ${server.padEnd(12)} ${of('perSecond', 0).padStart(7)}/s, ${latency}, ${cost}`);
  }
  const node = results.get('node')!;
  const ratioOf = (server: string, key: keyof Result): number =>
    median(results.get(server)!.map((one, round) => one[key] / node[round]![key]));
  for (const server of results.keys()) {
    if (server === 'node') continue;
    const [rate, cpu, p50] = (['perSecond', 'serverCpuUs', 'p50Us'] as const).map((key) =>
      ratioOf(server, key).toFixed(2),
    );
    console.log(`  ${server} / node: rate ${rate}, CPU ${cpu}, p50 ${p50}`);
  }
  const met = [
    load.minRate === null || ratioOf('kafabric', 'perSecond') >= load.minRate,
    load.maxP50 === null || ratioOf('kafabric', 'p50Us') <= load.maxP50,
  ];
  if (load.minRate !== null) console.log(`  target: rate ${load.minRate}: ${met[0] ? 'met' : 'missed'}`);
  if (load.maxP50 !== null) console.log(`  target: p50 ${load.maxP50}: ${met[1] ? 'met' : 'missed'}`);
  if (met.includes(false)) process.exitCode = 1;
}

const program = build('load');
const bare = build('bare');
for (const load of cases.filter(({ name }) => name.includes(only))) report(load, await run(load));
