// Starts something that keeps the thread for a while at the end of its start, as the gateway does when it opens its memory.
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runUntilStopped } from './cli/run-until-stopped.ts';

const BUSY_MS = 500;
const STOPPING_MS = 200;

await runUntilStopped('a test', 'error', [], async () => {
  await new Promise(setImmediate);
  writeSync(1, 'starting\n');
  for (const end = performance.now() + BUSY_MS; performance.now() < end; );
  setTimeout(() => writeSync(1, 'started\n'), 50);
  const alive = setInterval(() => undefined, 1000);
  return {
    stop: async () => {
      clearInterval(alive);
      writeSync(1, 'stopping\n');
      await sleep(STOPPING_MS);
      writeSync(1, 'stopped\n');
    },
  };
});
