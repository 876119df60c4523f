import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

/** What `npm test -- ARGS` says when it refuses its arguments, which it does before it runs anything. */
function refusal(...args: string[]): string {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/test.mjs', ...args], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
  return stderr;
}

describe('the arguments of npm test', () => {
  for (const args of [['--only=unti'], ['--only', 'unti'], ['--olny', 'unit'], ['unit'], ['--only']]) {
    it(`${args.join(' ')} is refused with the list of suites`, () => {
      assert.match(refusal(...args), /the suites are lint, docs, .*, ecosystem\n$/);
    });
  }
});
