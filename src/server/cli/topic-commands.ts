import type { Command } from 'commander';
import type { Client } from '../../client/index.ts';
import { collect } from './settings.ts';

interface Target {
  bootstrap: string;
  json: boolean;
}

/** `kafabric topics` and `kafabric configs`: administration of a running gateway, over its direct listener. */
export function addTopicCommands(program: Command): void {
  const topics = program.command('topics').description('list, create and delete topics of a running gateway');
  target(topics.command('list'))
    .description('every topic with its partitions')
    .action((options: Target) =>
      withClient(options, async (client) => {
        const found = await client.listTopics();
        const rows = found.map(({ name, id, partitions }) => ({
          topic: name,
          partitions: partitions.length,
          id,
        }));
        print(rows, options.json);
      }),
    );
  target(topics.command('create <topic>'))
    .description('create a topic')
    .option('--partitions <n>', 'how many', Number, 1)
    .option('--set <key=value>', 'a topic config (repeatable)', collect, [])
    .action((topic: string, options: Target & { partitions: number; set: string[] }) =>
      withClient(options, async (client) => {
        const configs = Object.fromEntries(options.set.map(pairOf)) as Record<string, string>;
        await client.createTopic(topic, { partitions: options.partitions, configs });
      }),
    );
  target(topics.command('delete <topic>'))
    .description('delete a topic with all that it holds')
    .action((topic: string, options: Target) => withClient(options, (client) => client.deleteTopic(topic)));
  const configs = program
    .command('configs')
    .description('show and alter the configs of topics of a running gateway');
  target(configs.command('show <topic>'))
    .description('every config of a topic')
    .action((topic: string, options: Target) =>
      withClient(options, async (client) => {
        const rows = [...(await client.topicConfigs(topic))].map(([config, value]) => ({
          config,
          value: value ?? '',
        }));
        print(rows, options.json);
      }),
    );
  target(configs.command('set <topic> <key=value...>'))
    .description('alter configs; an empty value gives one its default again')
    .action((topic: string, pairs: string[], options: Target) =>
      withClient(options, (client) =>
        client.alterTopicConfigs(
          topic,
          Object.fromEntries(pairs.map(pairOf).map(([key, value]) => [key, value === '' ? null : value])),
        ),
      ),
    );
}

export function target(command: Command): Command {
  return command
    .requiredOption('--bootstrap <host:port>', 'a DIRECT listener')
    .option('--json', 'JSON instead of text', false);
}

/** Other commands need not load the client. */
export async function withClient(
  options: { bootstrap: string },
  action: (client: Client) => Promise<void>,
): Promise<void> {
  const { Client } = await import('../../client/index.ts');
  const client = await Client.connect({ bootstrap: options.bootstrap, clientId: 'kafabric-cli' });
  try {
    await action(client);
  } finally {
    client.close();
  }
}

function pairOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new Error(`"${text}" is not of the form key=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function print(rows: readonly Record<string, string | number>[], json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(rows)}\n`);
    return;
  }
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  for (const line of lines)
    process.stdout.write(
      `${line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd()}\n`,
    );
}
