// Logs before and after it has waited, and tells on the error stream that it is still there: logging.child.js [terminal]
// On a terminal it waits for a word on standard input, by which the terminal is closed.
import { createLogger } from './logging.ts';

const PAUSE_MS = 100;
/** In which it is heard what has become of a line. */
const STAYS_MS = 500;
const log = createLogger('info');

function logAgain(): void {
  log.info({}, 'two');
  setTimeout(() => log.info({}, 'three'), STAYS_MS);
  setTimeout(() => {
    process.stderr.write('still there\n');
    process.exit(0);
  }, 2 * STAYS_MS);
}

log.info({}, 'one');
if (process.argv[2] === 'terminal') process.stdin.once('data', logAgain);
else setTimeout(logAgain, PAUSE_MS);
