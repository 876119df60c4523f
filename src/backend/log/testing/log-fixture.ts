import { silentLogger } from '../../../util/logger.ts';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { defaultLogConfig, type LogConfig } from '../config.ts';
import { LogManager } from '../log-manager.ts';
import type { LogManagerOptions } from '../log-manager-options.ts';
import type { PartitionLog } from '../partition-log.ts';
import { FaultyFileSystem } from './faulty-file-system.ts';

/** A manager over files in memory, which can be stopped in every way and started again. */
export class LogFixture {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly files: FaultyFileSystem;
  config: LogConfig;
  readonly options: Partial<LogManagerOptions>;
  manager: LogManager;

  constructor(seed: number, config: Partial<LogConfig> = {}, options: Partial<LogManagerOptions> = {}) {
    this.random = new SeededRandom(seed);
    this.files = new FaultyFileSystem(this.random, () => this.clock.now());
    this.config = { ...defaultLogConfig, ...config };
    this.options = options;
    this.manager = this.#create();
  }

  /** Opens the manager and, if need be, makes partition t-0. */
  async open(): Promise<PartitionLog> {
    this.manager = this.#create();
    await this.manager.open();
    const log = await this.manager.create('t', 0, { topicId: 'B4sB6MhZSGiyDvPbRqbsaw', config: this.config });
    log.updateConfig(this.config);
    return log;
  }

  async reopen(): Promise<PartitionLog> {
    await this.manager.close();
    return this.open();
  }

  /** Kills the process, or, with `power`, cuts the power, and starts again; `without`: paths of files that are lost. */
  async crash({
    power,
    without = [],
  }: {
    power: boolean;
    without?: readonly string[];
  }): Promise<PartitionLog> {
    this.files.crash({ power });
    this.clock.clear();
    for (const path of without) await this.files.mount().remove(path);
    return this.open();
  }

  #create(): LogManager {
    return new LogManager({
      fileSystem: this.files.mount(),
      clock: this.clock,
      logger: silentLogger,
      directories: ['/data'],
      nodeId: 1,
      defaultConfig: this.config,
      random: () => this.random.next(),
      ...this.options,
    });
  }
}

/** All batches of a log from an offset on. */
export async function readAll(
  log: PartitionLog,
  from = log.logStartOffset,
): Promise<{ baseOffset: bigint; lastOffset: bigint; bytes: Uint8Array }[]> {
  const found: { baseOffset: bigint; lastOffset: bigint; bytes: Uint8Array }[] = [];
  for (let offset = from; ; ) {
    const { batches } = await log.read(offset, 1 << 20);
    if (batches.length === 0) return found;
    for (const { baseOffset, lastOffset, position, sizeBytes, file } of batches) {
      const memory = await file.read(position, sizeBytes);
      found.push({ baseOffset, lastOffset, bytes: memory.bytes().slice() });
      memory.release();
      offset = lastOffset + 1n;
    }
  }
}
