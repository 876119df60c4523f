import { until } from '../harness/child.ts';
import { type Client, clientKinds, missing, startClient } from '../harness/client.ts';

/** A steady stream of records from the Go driver, which goes on through crashes and remembers what was acknowledged. */
export interface LoadOptions {
  topic: string;
  partitions: number;
  codec: string;
  /** -1: idempotent, tries for ever. 1: each record is sent once. */
  acks: -1 | 1;
  minBytes: number;
  maxBytes: number;
  /** Pause of a partition's writer between records. */
  pauseMicros: number;
}

export interface LoadReport {
  acknowledged: number;
  failed: number;
  /** Records read back and compared. */
  verified: number;
  /** What contradicts the promise: lost, stored twice, out of order, other content. */
  problems: string[];
}

type LoadCall = (op: string, args: object) => Promise<LoadReport>;

/** The loads of one process of the Go driver. */
export class Loads {
  readonly #client: Client;
  readonly #call: LoadCall;

  constructor(bootstrap: string) {
    const kind = clientKinds.find(({ name }) => name === 'franz-go')!;
    this.#client = startClient(kind, bootstrap);
    // The load operations are this driver's alone.
    this.#call = this.#client.call.bind(this.#client) as unknown as LoadCall;
  }

  /** Why there can be none on this machine, or null. */
  static missing(): string | null {
    return missing('go');
  }

  get client(): Client {
    return this.#client;
  }

  async start(name: string, options: LoadOptions): Promise<void> {
    await this.#call('loadStart', { member: name, ...options });
  }

  /** Lets the load rest, or go on; what it has sent keeps trying to get through. */
  pause(name: string, on: boolean): Promise<LoadReport> {
    return this.#call(on ? 'loadPause' : 'loadResume', { member: name });
  }

  /** Resolves when more was acknowledged than `before`, in a load that does not rest; to how much that is. */
  async progress(name: string, before: number): Promise<number> {
    let acknowledged = 0;
    await until(`more than ${before} records of ${name} are acknowledged`, 60_000, async () => {
      ({ acknowledged } = await this.pause(name, false));
      return acknowledged > before;
    });
    return acknowledged;
  }

  /** Reads and compares what has come since the last call, or everything. */
  verify(name: string, fromStart = false): Promise<LoadReport> {
    return this.#call('loadVerify', { member: name, fromStart });
  }

  /** Ends the load and waits until what it has sent is acknowledged. */
  stop(name: string): Promise<LoadReport> {
    return this.#call('loadStop', { member: name });
  }

  async close(): Promise<void> {
    await this.#client.stop();
  }
}
