import { cpuSeconds } from '../measure/proc.ts';
import type { SystemInfo } from '../model.ts';
import type { StartTimes, System } from './system.ts';
import { answers, splitAddress } from './wire.ts';

/** A Kafka-compatible system that runs already; the benchmark neither starts nor stops it. */
export class External implements System {
  readonly info: SystemInfo;
  readonly bootstrap: string;
  readonly direct = null;
  readonly controllable = false;
  readonly pid: number | null;
  readonly dataFolder = null;
  readonly topicConfig: Record<string, string> = {};
  readonly plainTopicConfig = null;
  readonly producesOnly = false;

  /** `pid`: its process on this machine, so that CPU, memory and disk are measured too. */
  constructor(name: string, bootstrap: string, pid: number | null) {
    splitAddress(bootstrap);
    this.bootstrap = bootstrap;
    this.pid = pid;
    this.info = { name, version: 'not known', about: 'running already, with its own settings' };
  }

  async start(): Promise<StartTimes> {
    if (this.pid !== null && cpuSeconds(this.pid) === null)
      throw new Error(`there is no process ${this.pid}`);
    if (!(await answers(this.bootstrap))) throw new Error(`nothing answers at ${this.bootstrap}`);
    return { acceptSeconds: Number.NaN, answerSeconds: Number.NaN };
  }

  async stop(): Promise<void> {}

  async resume(): Promise<StartTimes> {
    return this.start();
  }

  ended(): null {
    return null;
  }

  clear(): void {}
}
