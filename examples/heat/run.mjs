// Simulation and analysis, one after the other, and the dashboard where kafkajs is installed, against a gateway that this starts and stops:
//   node examples/heat/run.mjs [steps] [cells per side]
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { withGateway } from '../gateway.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const [steps = '30', side = '256'] = process.argv.slice(2);

await withGateway({}, async ({ direct }) => {
  const run = (program, ...args) =>
    execFileSync(process.execPath, [here(program), direct, ...args], { stdio: 'inherit' });
  run('simulation.mjs', steps, side);
  run('analysis.mjs', steps);
  if (existsSync(here('../kafkajs/node_modules/kafkajs'))) run('../kafkajs/dashboard.mjs', steps);
  else console.log('npm install --prefix examples/kafkajs adds a dashboard by kafkajs');
});
