// npm run bench: sets up what is missing, then runs the benchmark. See README.md.
import { setup } from '../scripts/setup.mjs';

setup();
await import('../dist/bench/main.js');
