import type { SystemInfo } from '../model.ts';
import type { DeploymentName } from './deployments.ts';

export interface StartTimes {
  /** From the start of the process to the first accepted connection. */
  acceptSeconds: number;
  /** From the start of the process to the first answered request. */
  answerSeconds: number;
}

/** A broker under measurement. */
export interface System {
  readonly info: SystemInfo;
  readonly bootstrap: string;
  /** Where direct clients connect; null when it serves none, or was not asked to (the deployment `direct`). */
  readonly direct: string | null;
  /** Whether the benchmark starts and stops it. */
  readonly controllable: boolean;
  /** The process that is looked into; null when there is none on this machine. */
  readonly pid: number | null;
  /** Where it keeps its data; null when that is not on this machine, or not known. */
  readonly dataFolder: string | null;
  /** What every topic is made with. */
  readonly topicConfig: Record<string, string>;
  /** What a topic is made with beside, so that its log has every batch as it was produced; null when that is not known. */
  readonly plainTopicConfig: Record<string, string> | null;
  /** Whether it takes one producer's records and can do nothing else. */
  readonly producesOnly: boolean;
  /** Starts on an empty data directory. */
  start(deployment: DeploymentName): Promise<StartTimes>;
  /** Ends the process: SIGTERM for a clean stop, SIGKILL for a crash. The data stays. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts again on the data of the last run. */
  resume(): Promise<StartTimes>;
  /** What is to be said of a process that has ended by itself, with the end of its log; null while it runs, and when it was stopped. */
  ended(): string | null;
  /** Removes the data. */
  clear(): void;
}
