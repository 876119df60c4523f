// Logs before and after it has waited, and tells on the error stream that it is still there.
import { createLogger } from './logging.ts';

const log = createLogger('info');
log.info({}, 'one');
setTimeout(() => {
  log.info({}, 'two');
  process.stderr.write('still there\n');
  process.exit(0);
}, 100);
