import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { patience } from '../harness/child.ts';
import { installed, suites } from '../harness/paths.ts';

const OUTPUT_LIMIT = 256 * 1024 * 1024;

/** Runs a program to its end and resolves to its standard output, up to 256 MB of it; rejects with its errors when it fails. */
export function output(command: string[], input = '', timeoutMs = 120_000): Promise<string> {
  return new Promise((done, fail) => {
    const timeout = timeoutMs * patience;
    const options = { maxBuffer: OUTPUT_LIMIT, timeout, killSignal: 'SIGKILL' } as const;
    const child = execFile(command[0]!, command.slice(1), options, (error, out, errors) => {
      const how = error?.killed
        ? `, not ended after ${timeout} ms`
        : error?.signal
          ? `, by ${error.signal}`
          : '';
      if (error) fail(new Error(`${error.message.slice(0, 2000)}${how}\n${errors.slice(-4000)}`));
      else done(out);
    });
    // One that ends without reading its input is judged by its exit code.
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
  });
}

/** A Java program of this suite with the libraries of its own that setup.mjs has fetched for it. */
export function javaProgram(name: string, mainClass: string, heapMb: number, flags: string[] = []): string[] {
  const classPath = `${join(installed, name, 'classes')}:${join(installed, name, 'libs')}/*`;
  const fast = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', `-Xmx${heapMb}m`];
  return ['java', ...fast, ...flags, '-cp', classPath, mainClass];
}

/** A program of this suite in Python, in one of the suite's virtual environments. */
export function pythonProgram(file: string, environment = 'ecosystem-python'): string[] {
  return [join(installed, environment, 'bin/python'), '-B', '-u', join(suites, 'ecosystem/python', file)];
}

export interface TextRecord {
  partition: number;
  offset: number;
  key: string | null;
  value: string | null;
}

/** All that is in a topic now for readers of committed records, by kcat, partition by partition in order of offsets. */
export async function readTopic(bootstrap: string, topic: string): Promise<TextRecord[]> {
  const isolation = ['-X', 'isolation.level=read_committed'];
  const lines = await output(['kcat', '-b', bootstrap, '-C', '-t', topic, '-e', '-q', '-J', ...isolation]);
  const records = lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TextRecord & { payload: string | null })
    .map(({ partition, offset, key, payload }) => ({ partition, offset, key, value: payload }));
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

/** Writes records of one line each; resolves when they are acknowledged. */
export async function writeTopic(
  bootstrap: string,
  topic: string,
  records: [string, string][],
): Promise<void> {
  const lines = records.map(([key, value]) => `${key}\t${value}\n`).join('');
  const settings = ['-X', 'acks=all', '-X', 'enable.idempotence=true'];
  await output(['kcat', '-b', bootstrap, '-P', '-t', topic, '-K', '\t', ...settings], lines);
}

/** Records whose values are the numbers from `first` on, with keys `k0`, `k1`, … in turn. */
export function numbered(first: number, count: number, keys: number): [key: string, value: string][] {
  return Array.from({ length: count }, (_, i) => [`k${(first + i) % keys}`, `${first + i}`]);
}
