import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { root } from '../harness/paths.ts';
import { type DirectGateway, startDirectGateway } from './fixture.ts';

const text = readFileSync(join(root, 'docs', 'direct-api.md'), 'utf8');

/** The first example behind a heading. */
function exampleOf(heading: string, nth = 0): string {
  const section = text.slice(text.indexOf(`\n${heading}\n`));
  const examples = [...section.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code!);
  return examples[nth]!;
}

describe('the examples of docs/direct-api.md', function () {
  if (targetIsKafka) return;
  this.timeout(120_000);
  let gateway: DirectGateway;
  let children: ChildProcess[];
  let groups = 0;

  before(async () => {
    gateway = await startDirectGateway({ 'direct.mapped.listeners': 'DIRECT' });
  });
  beforeEach(() => {
    children = [];
  });
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  after(() => gateway?.broker.stop());

  /** Runs a program as an application has it, which imports the package by its name, until it has written what is expected. */
  async function expectOutput(code: string, expected: RegExp): Promise<void> {
    // Each has its own group: a member that is killed keeps others waiting until its session ends.
    const group = `'analysis-${++groups}'`;
    const program = code.replaceAll('127.0.0.1:9094', gateway.direct).replaceAll("'analysis'", group);
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: root });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += bytes));
    await until(`${expected}`, 60_000, async () => {
      if (child.exitCode !== null && !expected.test(output)) throw new Error(`it ended: ${output}`);
      return expected.test(output);
    }).catch((error: Error) => assert.fail(`${error.message}\n${output}`));
  }

  const fiveMinutes = exampleOf('## Five minutes');

  it('five minutes', () => expectOutput(fiveMinutes, /\{ step: 1, hot: true \} 8192\n/));

  it('transactions', () =>
    expectOutput(
      `import { Client } from 'kafabric/client';
      const client = await Client.connect({ bootstrap: '127.0.0.1:9094' });
      const fields = await client.createTopic('inputs');
      const results = await client.createTopic('results');
      const analyse = (bytes) => bytes.subarray(0, 3);
      await fields.producer().push({ step: 4 }, Buffer.from('abcdef'));
      const seen = results.consumer({ select: 'all' });
      void seen.pull().then(({ metadata, selected }) => console.log('result', metadata.step, String(selected)));
      ${exampleOf('## Transactions')}`,
      /result 4 abc\n/,
    ));

  it('data selectors that are stored', () =>
    expectOutput(
      `import { Client } from 'kafabric/client';
      const client = await Client.connect({ bootstrap: '127.0.0.1:9094' });
      const topic = await client.createTopic('stored');
      const producer = topic.producer();
      await producer.push({ kind: 'hot', run: { t: 2 } }, Buffer.alloc(1000));
      await producer.push({ kind: 'cold' }, Buffer.alloc(100000));
      await producer.push({ kind: 'cold' }, Buffer.alloc(1000));
      ${exampleOf('### Data selectors that are stored')}
      const consumer = topic.consumer({ groupId: 'analysis' });
      for await (const event of consumer) console.log('selected', event.selected?.byteLength);`,
      /selected 1000\nselected 512\nselected undefined\n/,
    ));

  it('forms that are code', () => {
    const module = exampleOf('### Forms that are code');
    assert.match(module, /export const validator/);
    const url = `data:text/javascript,${encodeURIComponent(`const toBytes = (one) => Buffer.from(JSON.stringify(one)); const fromBytes = (one) => JSON.parse(Buffer.from(one)); ${module}`)}`;
    const bootstrap = "const bootstrap = '127.0.0.1:9094';";
    const code = exampleOf('### Forms that are code', 1).replace(
      "import('acme-forms')",
      `import(${JSON.stringify(url)})`,
    );
    return expectOutput(
      `import { Client } from 'kafabric/client'; ${bootstrap}
      ${code}
      await topic.producer().push({ unit: 'F' }).catch(({ message }) => console.log(message));`,
      /push to kelvin: its unit is not K\n/,
    );
  });

  it('mapped memory', () =>
    expectOutput(
      `import { Client } from 'kafabric/client';
      const setup = await Client.connect({ bootstrap: '127.0.0.1:9094' });
      const topic = await setup.createTopic('mapped-example');
      const simulate = (bytes) => bytes.fill(5);
      const analyse = (bytes) => console.log('view', bytes.byteLength, bytes[0]);
      ${exampleOf('### Mapped memory')
        .replace(
          'await producer.push',
          'const producer = (await client.openTopic("mapped-example")).producer();\nawait producer.push',
        )
        .replace(
          'const view =',
          'const event = await (await client.openTopic("mapped-example")).consumer().pull();\nconst view =',
        )}`,
      /view 8388608 5\n/,
    ));
});
