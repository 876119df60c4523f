// Simulation, analysis, and the dashboard of a plain Kafka client, one after the other, against a gateway that this starts and stops:
//   node examples/heat/run.mjs [steps] [cells per side]
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { withGateway } from '../gateway.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const [steps = '30', side = '256'] = process.argv.slice(2);
const dashboard = '../kafkajs/dashboard.mjs';

// Nothing else needs kafkajs: it is installed, beside the dashboard, by whoever runs that first.
const hasKafkajs = () => {
  try {
    createRequire(here(dashboard)).resolve('kafkajs');
    return true;
  } catch {
    return false;
  }
};
const install = () => {
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--prefix', here('../kafkajs')], {
      stdio: 'inherit',
    });
    return true;
  } catch {
    return false; // npm has said why
  }
};
const canWatch = hasKafkajs() || install();

await withGateway({}, async ({ direct }) => {
  const run = (program, ...args) =>
    execFileSync(process.execPath, [here(program), direct, ...args], { stdio: 'inherit' });
  run('simulation.mjs', steps, side);
  run('analysis.mjs', steps);
  if (canWatch) run(dashboard, steps);
  else
    console.log('without its dashboard: kafkajs could not be installed (npm ci --prefix examples/kafkajs)');
});
