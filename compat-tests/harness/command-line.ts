import { runCommand } from './child.ts';
import { gatewayProgram } from './paths.ts';

/** Settings as options of any of the gateway's commands. */
export function overrideOptions(settings: Record<string, string>): string[] {
  return Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
}

/** One of the gateway's commands. */
export function gatewayCommand(words: readonly string[], settings: Record<string, string>): string[] {
  return [process.execPath, gatewayProgram, ...words, ...overrideOptions(settings)];
}

/** Runs it to its end; rejects with its output when it fails. */
export function runGatewayCommand(
  words: readonly string[],
  settings: Record<string, string>,
  timeoutMs?: number,
): Promise<string> {
  return runCommand(gatewayCommand(words, settings), timeoutMs);
}
