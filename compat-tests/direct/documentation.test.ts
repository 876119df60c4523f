import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { Child, runCommand, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { gatewayProgram, installed, root } from '../harness/paths.ts';
import { content, type DirectGateway, startDirectGateway } from './fixture.ts';

const text = readFileSync(join(root, 'docs/direct-api.md'), 'utf8');
const python = join(installed, 'python/bin/python');

/** The block of the document that has these words. */
function blockWith(language: string, words: string): string {
  const blocks = text.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'));
  const found = [...blocks].map(([, code]) => code!).filter((code) => code.includes(words));
  assert.equal(found.length, 1, `one block of ${language} has "${words}"`);
  return found[0]!;
}

/** An example in JavaScript behind a heading: the first, or another. */
function exampleOf(heading: string, nth = 0): string {
  const section = text.slice(text.indexOf(`\n${heading}\n`));
  return [...section.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => code!)[nth]!;
}

describe('what docs/direct-api.md says to do', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let directory: string;
  const programs: Child[] = [];

  before(async () => {
    gateway = await startDirectGateway({ 'direct.mapped.listeners': 'DIRECT' });
    client = await gateway.connect();
    directory = mkdtempSync(join(tmpdir(), 'documentation-'));
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(root, join(directory, 'node_modules/kafabric'));
  });
  afterEach(() => Promise.all(programs.splice(0).map((one) => one.kill('SIGKILL'))));
  after(async () => {
    client?.close();
    if (directory) rmSync(directory, { recursive: true });
    await gateway?.broker.stop();
  });

  /** A file in which the gateway is the one of this test, and groups are none of which a program was killed. */
  function write(name: string, code: string): string {
    const file = join(directory, name);
    const own = code.replaceAll('127.0.0.1:9094', gateway.direct);
    writeFileSync(file, own.replaceAll(/(groupId: '|--group |groups \w+ )analysis/g, `$1${name}`));
    return file;
  }

  /** Runs a program that does not end by itself until it has said something. */
  async function says(command: string[], ...lines: string[]): Promise<void> {
    const program = new Child(command);
    programs.push(program);
    await until(`the program says "${lines.join('", "')}"`, 60_000, () => {
      if (!program.running) throw new Error(`the program ${program.end}: ${program.output}`);
      const said = program.output.split('\n');
      return lines.every((line) => said.includes(line));
    });
  }

  it('is a start of five minutes', async () => {
    const file = write('start.mjs', blockWith('js', 'await producer.close();\n\nconst consumer'));
    await says([process.execPath, file], 'shared-memory', '{ step: 1, hot: true } 8192');
  });

  it('reads metadata alone in Python', async function () {
    requireToolchain(this, 'python');
    const file = write('catalog.py', blockWith('python', 'confluent_kafka'));
    await says([python, '-uB', file], "b'run-7' {'step': 1, 'hot': True} 144 bytes here");
  });

  it('works on events in transactions', async () => {
    const results = await client.createTopic('results');
    const prelude = `
      import { Client } from 'kafabric/client';
      const client = await Client.connect({ bootstrap: '127.0.0.1:9094' });
      const [fields, results] = await Promise.all([client.openTopic('fields'), client.openTopic('results')]);
      const analyse = (data) => data.subarray(0, 5);
    `;
    const file = write('transactions.mjs', prelude + blockWith('js', 'tx.sendOffsets'));
    programs.push(new Child([process.execPath, file]));
    const consumer = results.consumer({ select: 'all' });
    const event = await consumer.pull({ timeoutMs: 60_000 });
    assert.deepEqual([event!.metadata, event!.selected!.byteLength], [{ step: 1 }, 5]);
    await consumer.close();
  });

  it('has a ring that is not overrun', async () => {
    const producer = (await client.createTopic('ring')).producer();
    const fields = Array.from({ length: 60 }, (_, step) => Buffer.alloc(1024 * 1024, step));
    await Promise.all(fields.map((field, step) => producer.push({ step }, field)));
    await producer.close();
    const program = `
      import { setTimeout } from 'node:timers/promises';
      import { Client, slice } from 'kafabric/client';
      const client = await Client.connect({ bootstrap: '127.0.0.1:9094' });
      const fields = await client.openTopic('ring');
      const analyse = async ({ step }, bytes) => {
        await setTimeout(10); // what is under way arrives meanwhile
        if (!bytes.every((one) => one === step)) throw new Error('step ' + step + ' is overrun');
        console.log('step', step);
      };
      ${exampleOf('### A ring that data lands in')}`;
    await says([process.execPath, write('ring.mjs', program)], 'step 59');
  });

  it('keeps data selectors with groups', async () => {
    const program = `
      import { Client } from 'kafabric/client';
      const client = await Client.connect({ bootstrap: '127.0.0.1:9094' });
      const topic = await client.createTopic('stored');
      const producer = topic.producer();
      await producer.push({ kind: 'hot', run: { t: 2 } }, Buffer.alloc(1000));
      await producer.push({ kind: 'cold' }, Buffer.alloc(100000));
      await producer.push({ kind: 'cold' }, Buffer.alloc(1000));
      ${exampleOf('### Data selectors that are stored').replaceAll("'analysis'", "'stored'")}
      const consumer = topic.consumer({ groupId: 'stored' });
      for await (const event of consumer) console.log('selected', event.selected?.byteLength);`;
    const file = write('stored.mjs', program);
    await says([process.execPath, file], 'selected 1000', 'selected 512', 'selected undefined');
  });

  it('takes forms that are code', async () => {
    const before =
      'const toBytes = (one) => Buffer.from(JSON.stringify(one)); const fromBytes = (one) => JSON.parse(Buffer.from(one));';
    write('acme-forms.mjs', `${before}\n${exampleOf('### Forms that are code')}`);
    const program = `
      import { Client } from 'kafabric/client';
      const bootstrap = '127.0.0.1:9094';
      ${exampleOf('### Forms that are code', 1).replace("import('acme-forms')", "import('./acme-forms.mjs')")}
      await topic.producer().push({ unit: 'F' }).catch(({ message }) => console.log(message));`;
    await says([process.execPath, write('forms.mjs', program)], 'push to kelvin: its unit is not K');
  });

  it('maps memory', async () => {
    await client.createTopic('mapped-example');
    const open = '(await client.openTopic("mapped-example"))';
    const program = `
      import { Client } from 'kafabric/client';
      const simulate = (bytes) => bytes.fill(5);
      const analyse = (bytes) => console.log('view', bytes.byteLength, bytes[0]);
      ${exampleOf('### Mapped memory')
        .replace('await producer.push', `const producer = ${open}.producer();\nawait producer.push`)
        .replace('const view =', `const event = await ${open}.consumer().pull();\nconst view =`)}`;
    await says([process.execPath, write('mapped.mjs', program)], 'view 8388608 5');
  });

  it('uses commands', async () => {
    writeFileSync(join(directory, 'field.bin'), content(100_000));
    const shell = `set -eu; cd ${directory}; kafabric() { ${process.execPath} ${gatewayProgram} "$@"; }\n`;
    const file = write('commands.sh', shell + blockWith('sh', 'kafabric topics create'));
    const output = await runCommand(['bash', file], 120_000);
    for (const expected of [
      /^topic frames created, 2 partitions$/m,
      /"metadata":\{"step":1\},"size":100000,"selected":4096/,
      /^commands.sh: classic group, Empty, 0 members$/m,
      /^nothing was changed: --execute does it$/m,
      /^retention.ms +3600000$/m,
      /^topic frames deleted$/m,
      /^pull \(shared-memory\): 1000 events/m,
    ])
      assert.match(output, expected);
    assert.ok(readFileSync(join(directory, 'frames-0-0.bin')).equals(content(100_000).subarray(0, 4096)));
  });
});
