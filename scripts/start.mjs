// npm start: set up what is missing, then run the gateway. Arguments after -- go to `kafabric start`.
import { spawn } from 'node:child_process';
import { root, setup } from './setup.mjs';

setup();
const gateway = spawn(process.execPath, ['dist/kafabric/main.js', 'start', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
// The terminal sends SIGINT to the whole group; a supervisor's SIGTERM reaches only this process. A second SIGHUP does no harm.
process.on('SIGTERM', () => gateway.kill('SIGTERM'));
process.on('SIGHUP', () => gateway.kill('SIGHUP'));
process.on('SIGINT', () => {});
gateway.on('close', (code, signal) => {
  process.exitCode = signal ? 1 : (code ?? 1);
});
