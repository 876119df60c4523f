/** Kafka's own performance tools. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { owned } from '../owned.ts';
import { cache } from '../paths.ts';
import type { Report } from './load.ts';

const payloads = 50;

/** "12345 records sent, 6172.5 records/sec (5.89 MB/sec), 3.2 ms avg latency, 100.00 ms max latency, ..."; its MB are binary. */
export function parseProducerPerformance(output: string, size: number): Report {
  const lines = [...output.matchAll(/^(\d+) records sent, ([\d.,]+) records\/sec/gm)];
  const last = lines.at(-1);
  if (!last) throw new Error(`no result in ${output.slice(-500)}`);
  const records = Number(last[1]);
  const seconds = records / Number(last[2]!.replaceAll(',', ''));
  return { records, bytes: records * size, seconds };
}

/** One line of comma-separated values: ..., data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance ms, fetch ms, ... */
export function parseConsumerPerformance(output: string, size: number): Report {
  const line = output
    .split('\n')
    .map((one) => one.split(',').map((field) => field.trim()))
    .findLast((fields) => fields.length >= 8 && /^\d{4}-/.test(fields[0]!));
  if (!line) throw new Error(`no result in ${output.slice(-500)}`);
  const records = Number(line[4]);
  // Joining the group is not reading.
  return { records, bytes: records * size, seconds: Number(line[7]) / 1000 };
}

/** Lines of random text, since its own random values cap the tool near 100 MB/s. */
function payloadFile(size: number): string {
  const file = join(cache, `payload-${size}.txt`);
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  const line = (): string => randomBytes(size).toString('base64').replaceAll('\n', '').slice(0, size);
  writeFileSync(file, Array.from({ length: payloads }, line).join('\n'));
  return file;
}

export class JavaGenerator {
  readonly #libs: string;
  readonly #bootstrap: string;

  constructor(libs: string, bootstrap: string) {
    this.#libs = libs;
    this.#bootstrap = bootstrap;
  }

  async produce(topic: string, size: number, records: number): Promise<Report> {
    const properties = [
      `bootstrap.servers=${this.#bootstrap}`,
      'acks=all',
      'linger.ms=5',
      'batch.size=1000000',
    ];
    properties.push('buffer.memory=134217728', 'max.request.size=104857600');
    const args = ['--topic', topic, '--num-records', String(records), '--throughput', '-1'];
    args.push('--payload-file', payloadFile(size), '--command-property', ...properties);
    return parseProducerPerformance(await this.#run('ProducerPerformance', args), size);
  }

  async consume(topic: string, size: number, records: number): Promise<Report> {
    const args = ['--bootstrap-server', this.#bootstrap, '--topic', topic, '--num-records', String(records)];
    args.push('--fetch-size', '16777216', '--timeout', '60000');
    return parseConsumerPerformance(await this.#run('ConsumerPerformance', args), size);
  }

  async #run(tool: string, args: string[]): Promise<string> {
    const java = ['-Xmx1g', '-cp', `${this.#libs}/*`, `org.apache.kafka.tools.${tool}`, ...args];
    const running = promisify(execFile)('java', java, { timeout: 300_000, maxBuffer: 10e6 });
    owned(running.child);
    return (await running).stdout;
  }
}
