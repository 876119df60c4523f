import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SECRET } from '../backend/payload/stores/testing.ts';

const program = fileURLToPath(new URL('./cli/main.js', import.meta.url));

/** A store in a process of its own, at any port of the loopback interface. @param output where it writes its log */
export function spawnStore(
  directory: string,
  settings: Readonly<Record<string, string>>,
  output: 'inherit' | 'pipe',
): ChildProcess {
  const all = {
    'payload.store.listener': '127.0.0.1:0',
    'payload.store.dir': directory,
    'payload.stores.secret': SECRET,
    'metrics.listener': '',
    'arena.bytes': '67108864',
    ...settings,
  };
  const overrides = Object.entries(all).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
  return spawn(process.execPath, [program, 'store', 'run', ...overrides], { stdio: output });
}
