import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { Child, runCommand, sleep, until } from './child.ts';
import { overrideOptions } from './command-line.ts';
import { gatewayProgram, javaCommand } from './paths.ts';

export interface BrokerOptions {
  /** Configuration keys beyond the harness's own. */
  overrides?: Record<string, string>;
  /** Of the gateway: listeners beside that of `bootstrap`. */
  listeners?: readonly string[];
  /** Where the data directory `data` lies; a temporary directory, removed at `stop`, when absent. */
  dir?: string;
  /** Of Apache Kafka: the controllers' quorum is kept in the log (KIP-853), not in its configuration. */
  dynamicQuorum?: boolean;
  /** The Node binary that runs the gateway; this process's own when absent. */
  node?: string;
  /** Environment variables of the process, beyond this one's. */
  environment?: Record<string, string>;
}

/** A broker under test: the gateway, or Apache Kafka when the tests themselves are to be checked. */
export interface Broker {
  readonly bootstrap: string;
  /** Base of the HTTP listener; null for Apache Kafka. */
  readonly metricsUrl: string | null;
  readonly dataDir: string;
  /** Of the current or last process. */
  readonly pid: number | undefined;
  /** Output of the current or last process. */
  logs(): string;
  /** Starts the process and waits until it serves; rejects with its log when it does not. */
  start(): Promise<void>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts the process and kills it (SIGKILL) after so long, whatever it is doing then. */
  startAndKill(afterMs: number): Promise<void>;
  /** Stops cleanly and starts on the same ports and data. */
  restart(): Promise<void>;
  /** Stops and removes what the harness made. */
  stop(): Promise<void>;
  /** Resolves to the exit code when the process ends by itself. */
  ended(): Promise<number | null>;
}

/** KAFABRIC_TEST_TARGET=kafka runs the suites against Apache Kafka. */
export const targetIsKafka = process.env.KAFABRIC_TEST_TARGET === 'kafka';

const commonOverrides = {
  'num.partitions': '2',
  'group.initial.rebalance.delay.ms': '0',
  'message.max.bytes': '104857600',
  'auto.create.topics.enable': 'true',
  'group.min.session.timeout.ms': '1000',
  'group.consumer.heartbeat.interval.ms': '500',
  'group.consumer.min.heartbeat.interval.ms': '500',
};

/** KAFABRIC_TEST_LOGS names a directory that gets the whole log of every broker. */
function logFile(bootstrap: string): string | null {
  const dir = process.env.KAFABRIC_TEST_LOGS;
  return dir ? join(dir, `broker-${bootstrap.split(':')[1]}.log`) : null;
}

abstract class BrokerProcess implements Broker {
  readonly bootstrap: string;
  readonly dataDir: string;
  abstract readonly metricsUrl: string | null;
  protected child: Child | null = null;
  readonly #dir: string;
  readonly #ownsDir: boolean;
  readonly #environment: Record<string, string>;

  constructor(port: number, { dir, environment = {} }: BrokerOptions) {
    this.bootstrap = `127.0.0.1:${port}`;
    this.#environment = environment;
    this.#ownsDir = dir === undefined;
    this.#dir = dir ?? mkdtempSync(join(tmpdir(), 'kafabric-compat-'));
    this.dataDir = join(this.#dir, 'data');
  }

  protected get dir(): string {
    return this.#dir;
  }

  protected abstract command(): Promise<string[]> | string[];
  protected abstract ready(): Promise<boolean>;

  get pid(): number | undefined {
    return this.child?.process.pid;
  }

  logs(): string {
    return this.child?.output ?? '';
  }

  async #spawn(): Promise<Child> {
    return new Child(await this.command(), this.#environment, logFile(this.bootstrap));
  }

  async start(): Promise<void> {
    const child = await this.#spawn();
    this.child = child;
    try {
      await until('the broker is ready', 60_000, async () => {
        if (!child.running) throw new Error(`the broker ${child.end}`);
        return this.ready();
      });
    } catch (error) {
      await child.kill('SIGKILL');
      throw new Error(`${(error as Error).message}; its log:\n${child.output.slice(-4000)}`);
    }
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    await this.child?.kill(signal);
  }

  async startAndKill(afterMs: number): Promise<void> {
    const child = await this.#spawn();
    this.child = child;
    await sleep(afterMs);
    await child.kill('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.kill('SIGTERM');
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill('SIGTERM');
    if (this.#ownsDir) rmSync(this.#dir, { recursive: true, force: true });
  }

  async ended(): Promise<number | null> {
    return (await this.child?.ended)?.code ?? null;
  }
}

class Gateway extends BrokerProcess {
  readonly metricsUrl: string;
  readonly #overrides: Record<string, string>;
  readonly #node: string;

  constructor(port: number, metricsPort: number, options: BrokerOptions) {
    super(port, options);
    this.metricsUrl = `http://127.0.0.1:${metricsPort}`;
    this.#node = options.node ?? process.execPath;
    this.#overrides = {
      ...commonOverrides,
      listeners: [`PLAINTEXT://${this.bootstrap}`, ...(options.listeners ?? [])].join(),
      'metrics.listener': this.metricsUrl,
      'log.dirs': this.dataDir,
      // Many of them run beside each other; what does not fit has to be read back from disk.
      'arena.bytes': '268435456',
      ...options.overrides,
    };
  }

  protected command(): string[] {
    const options = overrideOptions(this.#overrides);
    return [this.#node, gatewayProgram, 'start', '--log-level', 'debug', ...options];
  }

  protected async ready(): Promise<boolean> {
    try {
      return (await fetch(`${this.metricsUrl}/health/ready`)).ok;
    } catch {
      return false; // not listening yet
    }
  }
}

class Kafka extends BrokerProcess {
  readonly metricsUrl = null;
  readonly #controllerPort: number;
  readonly #overrides: Record<string, string>;
  readonly #dynamicQuorum: boolean;
  #formatted = false;

  constructor(port: number, controllerPort: number, options: BrokerOptions) {
    super(port, options);
    this.#controllerPort = controllerPort;
    this.#overrides = options.overrides ?? {};
    this.#dynamicQuorum = options.dynamicQuorum ?? false;
  }

  protected async command(): Promise<string[]> {
    const controller = `127.0.0.1:${this.#controllerPort}`;
    const properties = {
      ...commonOverrides,
      'process.roles': 'broker,controller',
      'node.id': '1',
      ...(this.#dynamicQuorum
        ? { 'controller.quorum.bootstrap.servers': controller }
        : { 'controller.quorum.voters': `1@${controller}` }),
      listeners: `PLAINTEXT://${this.bootstrap},CONTROLLER://${controller}`,
      'controller.listener.names': 'CONTROLLER',
      'log.dirs': this.dataDir,
      'offsets.topic.replication.factor': '1',
      'offsets.topic.num.partitions': '8',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'share.coordinator.state.topic.replication.factor': '1',
      'share.coordinator.state.topic.min.isr': '1',
      ...this.#overrides,
    };
    const file = join(this.dir, 'server.properties');
    const lines = Object.entries(properties).map(([key, value]) => `${key}=${value}`);
    writeFileSync(file, lines.join('\n'));
    if (!this.#formatted) {
      const format = javaCommand('kafka.tools.StorageTool', 256);
      await runCommand([
        ...format,
        'format',
        '--ignore-formatted',
        ...(this.#dynamicQuorum ? ['--standalone'] : []),
        // As on one node: no leaders from outside the ISR.
        '--feature',
        'eligible.leader.replicas.version=0',
        '-t',
        'AAAAAAAAAAAAAAAAAAAAAQ',
        '-c',
        file,
      ]);
      this.#formatted = true;
    }
    return [...javaCommand('kafka.Kafka', 640), file];
  }

  protected ready(): Promise<boolean> {
    const [host, port] = this.bootstrap.split(':');
    return new Promise((done) => {
      const socket = connect(Number(port), host)
        .on('connect', () => {
          socket.destroy();
          done(true);
        })
        .on('error', () => done(false));
    });
  }
}

/** A broker under test that is not started yet. */
export function makeBroker(options: BrokerOptions = {}): Promise<Broker> {
  return targetIsKafka ? makeKafka(options) : makeGateway(options);
}

/** A gateway that is not started yet. */
export async function makeGateway(options: BrokerOptions = {}): Promise<Broker> {
  return new Gateway(await freePort(), await freePort(), options);
}

/** Apache Kafka, not started yet. */
export async function makeKafka(options: BrokerOptions = {}): Promise<Broker> {
  return new Kafka(await freePort(), await freePort(), options);
}

/** A broker that serves. */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const broker = await makeBroker(options);
  await broker.start();
  return broker;
}

let shared: Promise<Broker> | null = null;

/** The one broker that most suites use; it is started by the first and stopped after the last. */
export function sharedBroker(): Promise<Broker> {
  shared ??= startBroker();
  return shared;
}

export async function stopSharedBroker(): Promise<void> {
  const broker = await shared?.catch(() => null);
  await broker?.stop();
  shared = null;
}
