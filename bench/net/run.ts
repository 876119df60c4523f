// Compares the native reactor with a plain Node server, with the same load in the same run. See README.md.
//
//   npm run build && node dist/bench/net/run.js [rounds] [seconds]
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 3);

const servers = ['kafabric', 'node', 'node-corked'] as const;

const cases = [
  {
    name: '16 KiB frames, 2 connections, 32 in flight',
    connections: 2,
    depth: 32,
    bytes: 16384,
    target: 2.5,
  },
  { name: '200 B requests, 64 connections, 5 in flight', connections: 64, depth: 5, bytes: 200, target: 1.8 },
  {
    name: '200 B requests, 64 connections, 1 in flight',
    connections: 64,
    depth: 1,
    bytes: 200,
    target: null,
  },
  {
    name: '1 MiB frames, 2 connections, 4 in flight',
    connections: 2,
    depth: 4,
    bytes: 1 << 20,
    target: null,
  },
  { name: '200 B round trips, 1 connection', connections: 1, depth: 1, bytes: 200, target: null },
];

interface Result {
  perSecond: number;
  p50Us: number;
  p99Us: number;
  serverCpuUsPerRequest: number;
}

function buildLoad(): string {
  mkdirSync(`${root}build/bench`, { recursive: true });
  const program = `${root}build/bench/net-load`;
  execFileSync(process.env.CXX ?? 'c++', ['-std=c++17', '-O2', '-o', program, `${root}bench/net/load.cc`], {
    stdio: 'inherit',
  });
  return program;
}

function nextLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stdout! });
    lines.once('line', (line) => {
      lines.close();
      resolve(line);
    });
    child.once('exit', (code) => reject(new Error(`exited with ${code}`)));
  });
}

async function measure(program: string, server: string, load: (typeof cases)[number]): Promise<Result> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('servers.js', import.meta.url)), server], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const port = await nextLine(child);
  const args = [port, load.connections, load.depth, load.bytes, seconds].map(String);
  const generator = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [perSecond = 0, p50Us = 0, p99Us = 0] = (await nextLine(generator)).split(' ').map(Number);
  const cpu = nextLine(child);
  child.stdin!.end();
  // The server's CPU covers the warm-up of a quarter as well.
  return {
    perSecond,
    p50Us,
    p99Us,
    serverCpuUsPerRequest: (Number(await cpu) * 1e6) / (perSecond * seconds * 1.25),
  };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

const program = buildLoad();
for (const load of cases) {
  const results = new Map<string, Result[]>(servers.map((server) => [server, []]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) results.get(server)!.push(await measure(program, server, load));
  }
  console.log(load.name);
  for (const [server, all] of results) {
    const of = (key: keyof Result, digits: number): string =>
      median(all.map((one) => one[key])).toFixed(digits);
    const latency = `p50 ${of('p50Us', 0)} us, p99 ${of('p99Us', 0)} us`;
    console.log(
      `  ${server.padEnd(12)} ${of('perSecond', 0).padStart(7)}/s, ${latency}, CPU ${of('serverCpuUsPerRequest', 1)} us`,
    );
  }
  const ours = results.get('kafabric')!;
  for (const server of ['node', 'node-corked']) {
    const ratio = median(ours.map((one, round) => one.perSecond / results.get(server)![round]!.perSecond));
    const target = server === 'node' ? load.target : null;
    if (target !== null && ratio < target) process.exitCode = 1;
    const verdict = target === null ? '' : `, target ${target}: ${ratio < target ? 'missed' : 'met'}`;
    console.log(`  kafabric / ${server}: ${ratio.toFixed(2)}${verdict}`);
  }
}
