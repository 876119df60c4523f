import type { Omission } from '../model.ts';
import type { Pass } from '../pass.ts';
import type { DeploymentName } from '../systems/deployments.ts';

export interface Workload {
  readonly name: string;
  /** One line for the report. */
  readonly about: string;
  readonly deployment: DeploymentName;
  /** Only run when it is asked for by name: always, or in a quick run. */
  readonly onRequest?: 'always' | 'quick';
  /** Takes so long that the first round has to do, unless it is asked for by name. */
  readonly once?: boolean;
  /** Starts and stops the system, which an external one does not allow. */
  readonly needsControl?: boolean;
  /** Also for systems that take one producer's records and can do nothing else. */
  readonly producesOnly?: boolean;
  run(pass: Pass): Promise<void>;
}

/** A part of a workload that cannot be done here; the rest goes on. */
export class Omitted extends Error {
  of(workload: string, system: string): Omission {
    return { workload, system, reason: this.message };
  }
}

/** The records of `full` with `--sizes`, or of `quick` with `--quick`. */
export function sizesOf(pass: Pass, quick: number[], full: number[]): number[] {
  if (pass.options.sizes) return pass.options.sizes;
  return pass.options.quick ? quick : full;
}

export const allSizes = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];
export const quickSizes = [100, 1000, 100_000, 1_000_000];
