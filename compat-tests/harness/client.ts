import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { KcatClient } from './kcat.ts';
import { installed, javaCommand, suites } from './paths.ts';
import type { PlannedRecord, SeenRecord } from './payload.ts';

/** The operations that every client's driver offers; a driver leaves out what its client lacks (see `Hello.lacks`). */
export interface Operations {
  hello: [Record<string, never>, Hello];
  create: [{ topic: string; partitions: number; configs: Record<string, string> }, null];
  delete: [{ topic: string }, null];
  /** Makes `offset` the partition's first. */
  deleteRecords: [{ topic: string; partition: number; offset: number }, null];
  /** The first offset whose timestamp is at or after `timestamp`. */
  lookup: [{ topic: string; partition: number; timestamp: number }, { offset: number }];
  /** Resolves when all records are acknowledged; -1 where the client does not tell the base offset. */
  produce: [
    { topic: string; partition: number; codec: string; acks: number; records: PlannedRecord[] },
    { baseOffset: number },
  ];
  /** Reads every partition from its beginning up to its end offset, the last record that it gives out; Kafka's names of isolation levels. */
  consume: [
    {
      topics: { topic: string; ends: number[] }[];
      isolation?: 'read_uncommitted' | 'read_committed';
    },
    SeenRecord[],
  ];
  /** Starts a group member that consumes and commits in the background. */
  join: [{ member: string; group: string; topic: string; strategy: string }, null];
  /** What the member has consumed since the last call, as [partition, offset]. */
  seen: [{ member: string }, [number, number][]];
  /** Leaves the group; the rest of what it has consumed. */
  leave: [{ member: string }, [number, number][]];
  /** Opens a producer with a transactional id, which fences the one before. */
  openTransactional: [{ producer: string; transactionalId: string; timeoutMs: number }, null];
  begin: [{ producer: string }, null];
  /** Writes records within the open transaction; resolves when they are acknowledged. */
  send: [{ producer: string; topic: string; partition: number; records: PlannedRecord[] }, null];
  /** Commits a group's offsets, as [partition, offset], within the open transaction. */
  sendOffsets: [{ producer: string; group: string; topic: string; offsets: [number, number][] }, null];
  end: [{ producer: string; commit: boolean }, null];
  closeTransactional: [{ producer: string }, null];
  /** What a group has committed, -1 if nothing (java only). */
  committed: [{ group: string; topic: string; partition: number }, { offset: number }];
  /** Runs the main class of a program of Kafka's inside the driver's virtual machine (java only). */
  tool: [
    { main: string; args: string[]; input: string; timeoutMs: number },
    { exitCode: number; output: string },
  ];
}

export interface Hello {
  version: string;
  codecs: string[];
  /** Partition assignment strategies. */
  strategies: string[];
  lacks?: (keyof Operations | 'timestamps' | 'empty values')[];
  /** What it cannot read, as `client/codec` of the producer. */
  unreadable?: string[];
}

export interface Client {
  readonly name: string;
  call<Op extends keyof Operations>(op: Op, args: Operations[Op][0]): Promise<Operations[Op][1]>;
  stop(): Promise<void>;
}

/** A client whose driver is a child process that speaks JSON lines. */
class DriverClient implements Client {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { done: (value: never) => void; fail: (error: Error) => void }>();
  #nextId = 1;
  #errors = '';

  constructor(name: string, command: string[]) {
    this.name = name;
    this.#process = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr!.on('data', (chunk) => {
      this.#noteError(chunk);
    });
    this.#process.on('close', (code) => this.#failAll(`its driver ended with ${code}`));
    this.#process.on('error', (error) => this.#failAll(error.message));
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      // Libraries log to where answers are, too.
      if (line.startsWith('{')) this.#onAnswer(line);
      else this.#noteError(`${line}\n`);
    });
  }

  #failAll(why: string): void {
    for (const { fail } of this.#waiting.values()) fail(new Error(`${this.name}: ${why}\n${this.#errors}`));
    this.#waiting.clear();
  }

  #noteError(text: string): void {
    this.#errors = (this.#errors + text).slice(-4000);
  }

  #onAnswer(line: string): void {
    const { id, result, error } = JSON.parse(line);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.done(result as never);
    else waiting?.fail(new Error(`${this.name}: ${error}\n${this.#errors}`));
  }

  call<Op extends keyof Operations>(op: Op, args: Operations[Op][0]): Promise<Operations[Op][1]> {
    const id = this.#nextId++;
    return new Promise((done, fail) => {
      this.#waiting.set(id, { done, fail });
      this.#process.stdin!.write(`${JSON.stringify({ id, op, ...args })}\n`);
    });
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((done) => this.#process.once('close', done));
    this.#process.stdin!.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(timer);
  }
}

const python = join(installed, 'python/bin/python');

export interface ClientKind {
  name: string;
  /** The step of setup.mjs that installs it. */
  setup: string;
  command(bootstrap: string): string[] | null;
}

function nodeDriver(name: string): ClientKind {
  const driver = join(suites, name, 'driver.mjs');
  return { name, setup: name, command: (bootstrap) => [process.execPath, driver, bootstrap] };
}

function pythonDriver(name: string, file: string): ClientKind {
  const driver = join(suites, 'python', file);
  return { name, setup: 'python', command: (bootstrap) => [python, '-B', driver, bootstrap] };
}

const allKinds: ClientKind[] = [
  { name: 'java', setup: 'java', command: (bootstrap) => [...javaCommand('Driver', 640), bootstrap] },
  pythonDriver('confluent-kafka-python', 'confluent_driver.py'),
  pythonDriver('aiokafka', 'aiokafka_driver.py'),
  { name: 'franz-go', setup: 'go', command: (bootstrap) => [join(installed, 'go/driver'), bootstrap] },
  nodeDriver('kafkajs'),
  nodeDriver('confluent-kafka-javascript'),
  nodeDriver('platformatic-kafka'),
  { name: 'kcat', setup: 'kcat', command: () => null },
];

/** All clients, or those that KAFABRIC_TEST_CLIENTS names. */
export const clientKinds = allKinds.filter(
  ({ name }) => process.env.KAFABRIC_TEST_CLIENTS?.split(',').includes(name) ?? true,
);

/** Why a client cannot be used on this machine, or null. */
export function missing(setup: string): string | null {
  const file = join(installed, 'status.json');
  if (!existsSync(file)) return 'not installed; run: node compat-tests/setup.mjs';
  const status = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string | null>;
  return setup in status ? status[setup]! : 'not installed; run: node compat-tests/setup.mjs';
}

/** Skips the test or suite when the toolchain is missing, with a line that says how to get it. CI=true counts it as a failure. */
export function requireToolchain(context: Mocha.Context, setup: string): void {
  const reason = missing(setup);
  if (reason === null) return;
  console.log(`      skipped: ${setup}: ${reason}`);
  context.skip();
}

/** A client by its name; skips the test or suite when it is missing, or not among those that are wanted. */
export function requireClient(context: Mocha.Context, name: string): ClientKind {
  const kind = clientKinds.find((one) => one.name === name);
  if (kind === undefined) return context.skip();
  requireToolchain(context, kind.setup);
  return kind;
}

export function startClient(kind: ClientKind, bootstrap: string): Client {
  const command = kind.command(bootstrap);
  return command === null ? new KcatClient(bootstrap) : new DriverClient(kind.name, command);
}

const shared = new Map<string, Client>();

/** The process of a client of a broker that the suites share. */
export function sharedClient(kind: ClientKind, bootstrap: string): Client {
  const key = `${kind.name} ${bootstrap}`;
  let client = shared.get(key);
  if (!client) {
    client = startClient(kind, bootstrap);
    shared.set(key, client);
  }
  return client;
}

/** Some client that can do anything, for what a test needs beside the client that it is about; franz-go where it is installed. */
export function helperClient(bootstrap: string): Client {
  const able = allKinds.filter(({ name, setup }) => name !== 'kcat' && missing(setup) === null);
  const kind = able.find(({ name }) => name === 'franz-go') ?? able[0];
  if (!kind) throw new Error('no client is installed; run: node compat-tests/setup.mjs');
  return sharedClient(kind, bootstrap);
}

export async function stopSharedClients(): Promise<void> {
  await Promise.all([...shared.values()].map((client) => client.stop()));
  shared.clear();
}
