import { createInterface } from 'node:readline';
import { inspect } from 'node:util';
import { digest, type SeenRecord } from './payload.ts';

/** One operation of a driver; arguments and result are JSON. */
export type Operation = (args: never) => Promise<unknown> | unknown;

/**
 * The driver's side of the protocol: one JSON request per line on standard input, {id, op, ...arguments}, one JSON answer per line
 * on standard output, {id, result} or {id, error}. Ends with standard input.
 */
export function serve(operations: Record<string, Operation>): void {
  const answer = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`);
  createInterface({ input: process.stdin })
    .on('line', async (line) => {
      const { id, op, ...args } = JSON.parse(line) as { id: number; op: string };
      try {
        const operation = operations[op];
        if (!operation) throw new Error(`unknown operation ${op}`);
        answer({ id, result: (await operation(args as never)) ?? null });
      } catch (error) {
        answer({ id, error: inspect(error).slice(0, 2000) });
      }
    })
    .on('close', () => process.exit(0));
}

/** Describes a consumed record for the answer of `consume`. */
export function describe(
  topic: string,
  partition: number,
  offset: number | string | bigint,
  key: Uint8Array | null | undefined,
  value: Uint8Array | null | undefined,
  headers: [string, string][],
  timestamp: number | string | bigint,
): SeenRecord {
  return {
    topic,
    partition,
    offset: Number(offset),
    key: key == null ? null : Buffer.from(key).toString(),
    size: value == null ? -1 : value.length,
    digest: value == null ? '' : digest(value),
    headers,
    timestamp: Number(timestamp),
  };
}

/** Counts consumed records against the end offsets of every partition. */
export class Progress {
  readonly records: SeenRecord[] = [];
  readonly #left = new Set<string>();
  readonly #ends = new Map<string, number>();

  constructor(topics: { topic: string; ends: number[] }[]) {
    for (const { topic, ends } of topics) {
      ends.forEach((end, partition) => {
        if (end === 0) return;
        this.#left.add(`${topic}/${partition}`);
        this.#ends.set(`${topic}/${partition}`, end);
      });
    }
  }

  get done(): boolean {
    return this.#left.size === 0;
  }

  add(record: SeenRecord): void {
    const partition = `${record.topic}/${record.partition}`;
    this.records.push(record);
    if (record.offset + 1 >= (this.#ends.get(partition) ?? 0)) this.#left.delete(partition);
  }
}
