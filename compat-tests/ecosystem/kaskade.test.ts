import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { installed } from '../harness/paths.ts';
import { writeTopic } from './programs.ts';

const patienceMs = 90_000;

/** A console with windows of text, on a terminal that `script` makes for it. */
describe('kaskade', function () {
  this.timeout(300_000);
  let broker: Broker;
  let console_: Child | null = null;

  before(async function () {
    for (const toolchain of ['ecosystem-python', 'kcat']) requireToolchain(this, toolchain);
    broker = await startBroker();
    await writeTopic(broker.bootstrap, 'shown-in-kaskade', [['first', 'a value to see']]);
  });

  afterEach(async () => {
    await console_?.kill('SIGTERM');
  });

  after(async () => {
    await broker?.stop();
  });

  async function shows(args: string, wanted: string): Promise<void> {
    const program = join(installed, 'ecosystem-python/bin/kaskade');
    const command = `stty cols 200 rows 60; exec ${program} ${args}`;
    const child = new Child(['script', '-q', '-f', '-c', command, '/dev/null'], { TERM: 'xterm-256color' });
    console_ = child;
    await until(`"${wanted}" on its screen`, patienceMs, () => {
      if (!child.running) throw new Error(`it ended:\n${child.output.slice(-4000)}`);
      return child.output.includes(wanted);
    });
  }

  it('lists topics', () => shows(`admin -b ${broker.bootstrap}`, 'shown-in-kaskade'));

  it('shows records', () =>
    shows(
      `consumer -b ${broker.bootstrap} -t shown-in-kaskade -k string -v string --earliest`,
      'a value to see',
    ));
});
