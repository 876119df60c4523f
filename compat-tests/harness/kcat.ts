import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client, Hello, Operations } from './client.ts';
import { digest, type PlannedRecord, plannedValue, type SeenRecord } from './payload.ts';

/** Topic, partition, offset, timestamp and lengths; then key and value as they are, and the headers up to the end of the line. */
const format = '%t %p %o %T %K %S %k%s%h\\n';
const large = ['-X', 'message.max.bytes=20000000', '-X', 'fetch.message.max.bytes=20000000'];

type Arguments<Op extends keyof Operations> = Operations[Op][0];

/** kcat has no driver: each operation is one run of the command. */
export class KcatClient implements Client {
  readonly name = 'kcat';
  readonly #bootstrap: string;
  readonly #members = new Map<string, { process: ChildProcess; seen: [number, number][] }>();

  constructor(bootstrap: string) {
    this.#bootstrap = bootstrap;
  }

  async call<Op extends keyof Operations>(op: Op, args: Arguments<Op>): Promise<Operations[Op][1]> {
    const operations: { [Name in keyof Operations]?: (args: never) => unknown } = {
      hello: () => this.#hello(),
      produce: (given: Arguments<'produce'>) => this.#produce(given),
      consume: (given: Arguments<'consume'>) => this.#consume(given),
      lookup: (given: Arguments<'lookup'>) => this.#lookup(given),
      join: (given: Arguments<'join'>) => this.#join(given),
      seen: (given: Arguments<'seen'>) => this.#members.get(given.member)!.seen.splice(0),
      leave: (given: Arguments<'leave'>) => this.#leave(given),
    };
    const operation = operations[op];
    if (!operation) throw new Error(`kcat cannot ${op}`);
    return (await operation(args as never)) as Operations[Op][1];
  }

  async stop(): Promise<void> {
    for (const { process } of this.#members.values()) process.kill('SIGKILL');
  }

  /** Runs kcat to its end and resolves to its standard output. */
  async #run(args: string[], input: string | null = null): Promise<Buffer> {
    const child = spawn('kcat', ['-b', this.#bootstrap, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    const output: Buffer[] = [];
    let errors = '';
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    // One that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`kcat ${args.join(' ')} ended with ${code}: ${errors.slice(-2000)}`);
    return Buffer.concat(output);
  }

  async #hello(): Promise<Hello> {
    const version = (await this.#run(['-V'])).toString().match(/Version (\S+).*librdkafka (\S+)/);
    return {
      version: `kcat ${version?.[1]}, librdkafka ${version?.[2]}`,
      codecs: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
      strategies: ['range', 'roundrobin', 'cooperative-sticky'],
      lacks: ['create', 'delete', 'deleteRecords', 'timestamps'],
    };
  }

  async #produce(args: Arguments<'produce'>): Promise<{ baseOffset: number }> {
    for (const record of args.records) await this.#produceOne(args, record);
    return { baseOffset: -1 };
  }

  async #produceOne(
    { topic, partition, codec, acks }: Arguments<'produce'>,
    record: PlannedRecord,
  ): Promise<void> {
    const command = ['-P', '-t', topic, '-p', String(partition), '-X', `acks=${acks}`, ...large];
    if (codec !== 'none') command.push('-z', codec);
    for (const [name, value] of record.headers) command.push('-H', `${name}=${value}`);
    const value = plannedValue(record);
    if (value === null || value.length === 0) {
      // An empty line's value is null with -Z and empty without.
      await this.#run(
        [...command, ...(value === null ? ['-Z'] : []), '-K', '\\t'],
        `${record.key ?? ''}\t\n`,
      );
      return;
    }
    const dir = mkdtempSync(join(tmpdir(), 'kafabric-kcat-'));
    const file = join(dir, 'value');
    writeFileSync(file, value);
    await this.#run([...command, ...(record.key === null ? [] : ['-k', record.key]), file]);
    rmSync(dir, { recursive: true });
  }

  async #consume({ topics }: Arguments<'consume'>): Promise<SeenRecord[]> {
    const seen: SeenRecord[] = [];
    for (const { topic, ends } of topics) {
      for (const [partition, end] of ends.entries()) {
        if (end === 0) continue;
        const where = ['-C', '-t', topic, '-p', String(partition), '-o', 'beginning', '-c', String(end)];
        seen.push(...parse(await this.#run([...where, '-q', '-f', format, ...large])));
      }
    }
    return seen;
  }

  async #lookup({ topic, partition, timestamp }: Arguments<'lookup'>): Promise<{ offset: number }> {
    const output = await this.#run(['-Q', '-t', `${topic}:${partition}:${timestamp}`]);
    return { offset: Number(output.toString().match(/offset (-?\d+)/)?.[1]) };
  }

  #join({ member, group, topic, strategy }: Arguments<'join'>): void {
    const properties = [
      `partition.assignment.strategy=${strategy}`,
      'auto.offset.reset=earliest',
      'auto.commit.interval.ms=100',
      'session.timeout.ms=30000',
      'heartbeat.interval.ms=300',
    ].flatMap((property) => ['-X', property]);
    const command = ['-b', this.#bootstrap, '-G', group, topic, '-q', '-u', '-f', '%p %o\\n', ...properties];
    const child = spawn('kcat', command, { stdio: ['ignore', 'pipe', 'ignore'] });
    const seen: [number, number][] = [];
    let rest = '';
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) seen.push(line.split(' ').map(Number) as [number, number]);
    });
    this.#members.set(member, { process: child, seen });
  }

  async #leave({ member }: Arguments<'leave'>): Promise<[number, number][]> {
    const { process, seen } = this.#members.get(member)!;
    this.#members.delete(member);
    const ended = once(process, 'close');
    process.kill('SIGTERM');
    await ended;
    return seen;
  }
}

/** Splits kcat's output, whose binary fields are delimited by the lengths in front of them. */
function parse(output: Buffer): SeenRecord[] {
  const seen: SeenRecord[] = [];
  for (let at = 0; at < output.length; ) {
    const fields: string[] = [];
    while (fields.length < 6) {
      const space = output.indexOf(0x20, at);
      fields.push(output.toString('utf8', at, space));
      at = space + 1;
    }
    const [topic, partition, offset, timestamp, keySize, size] = fields;
    const take = (length: number) => {
      at += length;
      return output.subarray(at - length, at);
    };
    const key = take(Math.max(0, Number(keySize)));
    const value = take(Math.max(0, Number(size)));
    const headers = take(output.indexOf(0x0a, at) - at).toString();
    at += 1;
    seen.push({
      topic: topic!,
      partition: Number(partition),
      offset: Number(offset),
      key: Number(keySize) < 0 ? null : key.toString(),
      size: Number(size),
      digest: Number(size) < 0 ? '' : digest(value),
      headers: headers === '' ? [] : headers.split(',').map((one) => one.split('=') as [string, string]),
      timestamp: Number(timestamp),
    });
  }
  return seen;
}
