// A store process of the benchmark's own, and what is asked of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { StoreConnection } from '../../src/backend/payload/stores/store-connection.ts';
import { splitAddress } from '../../src/backend/payload/stores/store-peer.ts';
import { newIncarnation, storedName } from '../../src/backend/payload/stores/stored-name.ts';
import { arenaStats, type NativeMemory } from '../../src/native/arena.ts';
import { FabricTransport, inspectFabric } from '../../src/native/fabric.ts';
import { usableWays } from '../../src/native/fabric-choice.ts';
import { systemClock } from '../../src/util/clock.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const SECRET = 'a secret for the benchmark';
const TIMEOUT_MS = 60_000;
const UNDER_WAY = 8;
/** `segment.bytes` of the topic: what is appended goes on in a new file there, as a gateway does it. */
const SEGMENT_BYTES = 512 << 20;
/** What is read: it stays in the memory of the store. */
const READ_BYTES = 64 << 20;

export interface Rate {
  /** GB/s. */
  readonly rate: number;
  /** Seconds of CPU time of both processes for a GB. */
  readonly cpu: number;
}

export interface StoreOptions {
  /** Where it has its files: made for it. */
  readonly directory: string;
  readonly provider: string;
  /** `log.recycle.bytes`. */
  readonly recycleBytes: number;
  /** Of the gateway's arena: pieces under way lie there. */
  readonly memory: NativeMemory;
}

let segments = 0;

export class BenchmarkStore {
  readonly connection: StoreConnection;
  readonly #child: ChildProcess;
  readonly #memory: NativeMemory;

  private constructor(child: ChildProcess, connection: StoreConnection, memory: NativeMemory) {
    this.#child = child;
    this.connection = connection;
    this.#memory = memory;
  }

  /** Bytes of the gateway's arena that are needed for pieces of such a size. */
  static memoryBytes(piece: number): number {
    return UNDER_WAY * piece;
  }

  static async start({ directory, provider, recycleBytes, memory }: StoreOptions): Promise<BenchmarkStore> {
    const address = `${directory}.address`;
    const settings = {
      'payload.store.listener': '127.0.0.1:0',
      'payload.store.dir': directory,
      'payload.store.address.file': address,
      'payload.stores.secret': SECRET,
      'metrics.listener': '',
      'arena.bytes': '536870912',
      'log.recycle.bytes': String(recycleBytes),
      // On a busy machine nothing is heard of an end for seconds.
      'payload.store.heartbeat.ms': '60000',
      'fabric.provider': provider,
    };
    const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    const program = [join(root, 'dist/kafabric/main.js'), 'store', 'run', ...overrides];
    const child = spawn(process.execPath, program, { stdio: ['ignore', 'ignore', 'inherit'] });
    while (!existsSync(address)) {
      if (child.exitCode !== null) throw new Error('the store has ended');
      await setTimeout(50);
    }
    const options = { library: '', pieceBytes: 1 << 20, window: 8, host: '127.0.0.1', listen: false };
    const connection = await StoreConnection.open({
      ...splitAddress(readFileSync(address, 'utf8').trim()),
      secret: SECRET,
      identity: { role: 'gateway', cluster: 'bench', node: 1 },
      requestTimeoutMs: TIMEOUT_MS,
      clock: systemClock,
      fabric: {
        ways: usableWays(await inspectFabric(''), { provider, domain: '' }),
        host: 'bench',
        arenaBytes: arenaStats().capacityBytes,
        open: (way) => FabricTransport.open(way, options),
      },
    });
    return new BenchmarkStore(child, connection, memory);
  }

  async stop(): Promise<void> {
    this.connection.end('the benchmark has ended');
    await this.connection.closed;
    this.#child.kill('SIGTERM');
    await new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Has it take pieces for so long, each acknowledged; what it has taken is removed then. */
  async take(piece: number, seconds: number): Promise<Rate> {
    const files: Promise<string>[] = [];
    const sealed: Promise<unknown>[] = [];
    const perFile = SEGMENT_BYTES / piece;
    const taken = await this.#rate(piece, seconds, async (i) => {
      const isFirst = i % perFile === 0;
      if (isFirst) files.push(this.#newFile());
      const file = await files[Math.floor(i / perFile)]!;
      if (isFirst && i > 0) sealed.push(files.at(-2)!.then((before) => this.#seal(before)));
      await this.#append(file, piece, i, (i % perFile) * piece);
    });
    await Promise.all(sealed);
    for (const file of files) await this.connection.request({ op: 'remove', file: await file });
    return taken;
  }

  /** Has it give pieces of a file that it has in memory. */
  async give(piece: number, seconds: number): Promise<Rate> {
    const file = await this.#newFile();
    const pieces = READ_BYTES / piece;
    for (let i = 0; i < pieces; i++) await this.#append(file, piece, i, i * piece);
    await this.connection.request({ op: 'sync', file });
    const given = await this.#rate(piece, seconds, (i) => {
      const position = (i % pieces) * piece;
      const target = this.#place(piece, i);
      return this.connection.request({ op: 'read', ...this.#order(piece), file, position, seed: 0, target });
    });
    await this.connection.request({ op: 'remove', file });
    return given;
  }

  async #newFile(): Promise<string> {
    const partition = 'bench-0.AAAAAAAAAAAAAAAAAAAAAA';
    const file = storedName({ partition, segment: segments++, incarnation: newIncarnation('bench') });
    await this.connection.request({ op: 'create', file, segmentBytes: SEGMENT_BYTES });
    return file;
  }

  /** What was appended before is in there by then. */
  #seal(file: string) {
    return this.connection.request({ op: 'seal', file, bytes: SEGMENT_BYTES, trust: false });
  }

  #place(piece: number, i: number): number {
    return this.#memory.arenaOffset + (i % UNDER_WAY) * piece;
  }

  #order(length: number) {
    return { length, key: this.connection.key, timeoutMs: TIMEOUT_MS };
  }

  #append(file: string, piece: number, i: number, position: number) {
    const source = this.#place(piece, i);
    const order = { op: 'append', ...this.#order(piece), file, position, source, fromMemory: true } as const;
    return this.connection.request(order);
  }

  /** Runs `action` for so long, several at a time. */
  async #rate(piece: number, seconds: number, action: (i: number) => Promise<unknown>): Promise<Rate> {
    const cpu = this.#cpuSeconds();
    const began = performance.now();
    const isOver = () => performance.now() - began >= seconds * 1000;
    let next = 0;
    let bytes = 0;
    const one = async () => {
      while (!isOver()) {
        await action(next++);
        bytes += piece;
      }
    };
    await Promise.all(Array.from({ length: UNDER_WAY }, one));
    const gigabytes = bytes / 1e9;
    return {
      rate: (gigabytes * 1000) / (performance.now() - began),
      cpu: (this.#cpuSeconds() - cpu) / gigabytes,
    };
  }

  /** CPU time of this process and the store's, in seconds; of the latter in steps of a hundredth. */
  #cpuSeconds(): number {
    const { user, system } = process.cpuUsage();
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (user + system) / 1e6 + (Number(fields[11]) + Number(fields[12])) / 100;
  }
}
