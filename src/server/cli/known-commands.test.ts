import assert from 'node:assert/strict';
import { Command } from 'commander';
import { assertKnown } from './known-commands.ts';

describe('the command line', () => {
  const program = new Command('kafabric').exitOverride().configureOutput({ writeErr() {} });
  program.command('start', { isDefault: true }).option('--override <key=value>');
  const store = program.command('store');
  store.command('run', { isDefault: true });
  store.command('drain').argument('<host:port>');

  it('takes a mistyped command for nothing else', () => {
    for (const [args, message] of [
      [['stat'], "error: unknown command 'stat'; did you mean start?"],
      [['store', 'drian', 'a:1'], "error: unknown command 'drian'; did you mean drain?"],
      [['frobnicate'], "error: unknown command 'frobnicate'; there are start, store"],
    ] as const)
      assert.throws(() => assertKnown(program, args), { message });
  });

  it('lets pass what is one, or an argument of one', () => {
    for (const args of [
      [],
      ['start', '--override', 'a=b'],
      ['--override', 'a=b'],
      ['store', '--help'],
      ['store', 'drain', 'a:1'],
      ['help', 'store'],
    ])
      assertKnown(program, args);
  });
});
