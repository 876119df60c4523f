import { execFileSync, type StdioOptions } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import type { SystemInfo } from '../model.ts';
import { cache, sources } from '../paths.ts';
import { requireCommands } from '../tools.ts';
import { type DeploymentName, deployments, type Variant } from './deployments.ts';
import { LocalSystem } from './local.ts';

export const kafkaVersion = '4.3.0';

/** What Kafka is given in every deployment beside its place. */
export const kafkaLimits = { 'message.max.bytes': '104857600' };

/** What Kafka's own start script gives the virtual machine beside the heap. */
const serverFlags = [
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-XX:MaxInlineLevel=15',
  '-Djava.awt.headless=true',
];

/** The folder with Kafka's jars, filled from Maven Central the first time. */
export function kafkaLibraries(): string {
  const libs = join(cache, `kafka-${kafkaVersion}`);
  const complete = (): boolean =>
    existsSync(libs) && readdirSync(libs).some((name) => name === `kafka_2.13-${kafkaVersion}.jar`);
  requireCommands(['java'], ['default-jdk-headless']);
  if (!complete()) {
    requireCommands(['mvn'], ['maven']);
    console.log(`downloading Apache Kafka ${kafkaVersion} ...`);
    const pom = join(sources, 'systems/kafka-pom.xml');
    execFileSync('mvn', ['-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${libs}`], {
      stdio: 'inherit',
    });
  }
  return libs;
}

function heapFlags(heap: string): string[] {
  return heap === 'default' ? [] : [`-Xmx${heap}`, `-Xms${heap}`];
}

export class Kafka extends LocalSystem {
  readonly info: SystemInfo;
  readonly #heap: string;
  readonly #settings: Record<string, string>;
  readonly #libs = kafkaLibraries();

  constructor(folder: string, name: string, variant: Variant, overrides: Record<string, string>) {
    super(folder);
    this.#heap = variant.heap ?? '1g';
    this.#settings = { ...variant.settings, ...overrides };
    this.info = { name, version: `Apache Kafka ${kafkaVersion}`, about: variant.about };
  }

  protected async prepare(deployment: DeploymentName): Promise<string[]> {
    const controller = await freePort();
    const settings: Record<string, string> = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      listeners: `PLAINTEXT://${this.bootstrap},CONTROLLER://127.0.0.1:${controller}`,
      'controller.listener.names': 'CONTROLLER',
      'log.dirs': join(this.dir, 'data'),
      ...kafkaLimits,
      'offsets.topic.replication.factor': '1',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'share.coordinator.state.topic.replication.factor': '1',
      'share.coordinator.state.topic.min.isr': '1',
      ...deployments[deployment].kafka,
      ...this.#settings,
    };
    const file = join(this.dir, 'server.properties');
    const logging = join(this.dir, 'log4j2.yaml');
    writeFileSync(
      file,
      Object.entries(settings)
        .map((entry) => entry.join('='))
        .join('\n'),
    );
    writeFileSync(logging, quietLogging);
    const java = ['java', `-Dlog4j2.configurationFile=${logging}`, '-cp', `${this.#libs}/*`];
    this.#format(file);
    return [java[0]!, ...heapFlags(this.#heap), ...serverFlags, ...java.slice(1), 'kafka.Kafka', file];
  }

  #format(properties: string): void {
    const tool = ['-Xmx256m', '-cp', `${this.#libs}/*`, 'kafka.tools.StorageTool'];
    // What it says on its standard error is in the message of what is thrown: that this Java is too old, for one.
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
    const id = execFileSync('java', [...tool, 'random-uuid'], { encoding: 'utf8', stdio });
    execFileSync('java', [...tool, 'format', '-t', id.trim(), '-c', properties], { stdio });
  }
}

const quietLogging = `Configuration:
  Appenders:
    Console: { name: STDOUT, PatternLayout: { pattern: "[%d] %p %m (%c)%n" } }
  Loggers:
    Root: { level: WARN, AppenderRef: { ref: STDOUT } }
`;
