// What runs in the machine: the suites, one after the other, and their counts for run.mjs.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [only, grep] = process.argv.slice(2);
const shared = process.env.KAFABRIC_VERBS_SHARED;
const patience = Number(process.env.KAFABRIC_TEST_PATIENCE);

/** Runs a command, shows its output as it comes; resolves to how it ended, and the end of its output. */
function run(command, args, env = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk);
      output = (output + chunk).slice(-10_000);
    });
    child.on('error', (error) => done({ succeeded: false, output: String(error) }));
    child.on('close', (code) => done({ succeeded: code === 0, output }));
  });
}

const counted = (counts, succeeded) => ({
  ...counts,
  failed: succeeded ? counts.failed : Math.max(counts.failed, 1),
});

/** The tests of the fabric that name verbs. */
async function native() {
  const filter = grep === '' ? 'verbs' : grep;
  const { succeeded, output } = await run('build/native-test/native-test', [
    `--filter=${filter}`,
    '--verbose',
  ]);
  const counts = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(output);
  if (counts === null) return { passed: 0, failed: 1, skipped: 0 };
  const [passed, failed, skipped] = counts.slice(1).map((count) => Number(count ?? 0));
  return counted({ passed, failed, skipped }, succeeded);
}

/** A gateway, stores and clients. */
async function system() {
  const file = join(shared, 'counts.json');
  const { succeeded } = await run(
    process.execPath,
    [
      'node_modules/mocha/bin/mocha.js',
      ...['--config', 'compat-tests/verbs/.mocharc.json', '--reporter', 'scripts/mocha-reporter.cjs'],
      ...['--timeout', String(180_000 * patience)],
      ...(grep === '' ? [] : ['--grep', grep]),
    ],
    { KAFABRIC_TEST_COUNTS: file },
  );
  if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 };
  return counted(JSON.parse(readFileSync(file, 'utf8')), succeeded);
}

const suites = { native, system };
const total = { passed: 0, failed: 0, skipped: 0 };
for (const name of only.split(',')) {
  console.log(`\n=== ${name}`);
  const counts = await suites[name]();
  for (const key of Object.keys(total)) total[key] += counts[key];
}
writeFileSync(join(shared, 'results.json'), JSON.stringify({ ...total, complete: true }));
