import type { KafabricConfig } from '../../config/index.ts';
import { configureArena } from '../../native/arena.ts';
import { examine } from '../doctor/doctor.ts';
import type { Finding } from '../doctor/finding.ts';

/** For what is moved to measure. */
const ARENA_BYTES = 64 << 20;

export interface DoctorOptions {
  /** False: nothing is written. */
  measure: boolean;
  json: boolean;
}

/** `kafabric doctor`; returns the exit status: 0 when nothing is wrong, 1 when the gateway would not start or not do what it is configured for. */
export async function doctorCommand(
  config: KafabricConfig,
  { measure, json }: DoctorOptions,
): Promise<number> {
  configureArena(ARENA_BYTES);
  const findings = await examine(config, measure, (what) => {
    if (!json && process.stderr.isTTY) process.stderr.write(`looking at ${what} ...\n`);
  });
  const text = json ? JSON.stringify(findings, null, 2) : findings.map(line).join('\n');
  process.stdout.write(`${text}\n`);
  return findings.some(({ status }) => status === 'problem') ? 1 : 0;
}

function line({ status, text, advice }: Finding): string {
  const mark = { ok: 'ok     ', note: 'note   ', problem: 'PROBLEM' }[status];
  return advice === null ? `${mark} ${text}` : `${mark} ${text}\n        ${advice}`;
}
