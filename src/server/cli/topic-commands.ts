import type { Command } from 'commander';
import type { TopicDescription } from '../../client/index.ts';
import { whole } from './number-options.ts';
import { collect } from './settings.ts';
import { jsonOf, print, say, type Target, tableOf, target, withClient } from './target.ts';

/** `kafabric topics` and `kafabric configs`: administration of a running gateway, over its direct listener. */
export function addTopicCommands(program: Command): void {
  addTopics(program);
  addConfigs(program);
}

function addTopics(program: Command): void {
  const topics = program
    .command('topics')
    .description('list, describe, create and delete topics of a running gateway');
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
        print(rows, options.json, 'there are no topics');
      }),
    );
  target(topics.command('describe <topic>'))
    .description(
      'partitions of a topic with leader, replicas and ISR, and its configs that are not the default',
    )
    .action((topic: string, options: Target) =>
      withClient(options, async (client) => describe(await client.describeTopic(topic), options.json)),
    );
  target(topics.command('create <topic>'))
    .description('create a topic')
    .option('--partitions <n>', 'how many', whole(1, 2 ** 31 - 1), 1)
    .option('--set <key=value>', 'a topic config (repeatable)', collect, [])
    .addHelpText(
      'after',
      '\nWith --set payload.min.bytes=4096 data lies apart from metadata from 4 KiB on, as in topics of the client library.',
    )
    .action((topic: string, options: Target & { partitions: number; set: string[] }) =>
      withClient(options, async (client) => {
        const configs = Object.fromEntries(options.set.map(pairOf)) as Record<string, string>;
        const { partitions } = options;
        await client.defineTopic(topic, { partitions, configs });
        const id = (await client.listTopics()).find(({ name }) => name === topic)?.id ?? null;
        say({ topic, partitions, id }, `topic ${topic} created, ${partitions} partitions`, options.json);
      }),
    );
  target(topics.command('delete <topic>'))
    .description('delete a topic with all that it holds')
    .action((topic: string, options: Target) =>
      withClient(options, async (client) => {
        await client.deleteTopic(topic);
        say({ topic, deleted: true }, `topic ${topic} deleted`, options.json);
      }),
    );
}

function describe({ name, id, partitions, configs }: TopicDescription, json: boolean): void {
  const described = partitions.map(({ index, leader, leaderEpoch, ...nodes }) => ({
    ...{ partition: index, leader: leader < 0 ? null : leader, leaderEpoch },
    ...nodes,
  }));
  if (json) {
    const all = { topic: name, id, partitions: described, configs: Object.fromEntries(configs) };
    process.stdout.write(`${jsonOf(all)}\n`);
    return;
  }
  process.stdout.write(`${name}: ${partitions.length} partitions, id ${id}\n`);
  process.stdout.write(
    tableOf(
      described.map(({ replicas, isr, offline, ...rest }) => ({
        ...rest,
        replicas: replicas.join(),
        isr: isr.join(),
        offline: offline.join() || null,
      })),
    ),
  );
  for (const [key, value] of configs) process.stdout.write(`${key}=${value ?? ''}\n`);
}

function addConfigs(program: Command): void {
  const configs = program
    .command('configs')
    .description('show and alter the configs of topics and groups of a running gateway');
  ofGroups(target(configs.command('show <name>')))
    .description('every config of a topic, or of a group')
    .action((name: string, options: ConfigsTarget) =>
      withClient(options, async (client) => {
        const found = await (options.group ? client.groups.configs(name) : client.topicConfigs(name));
        const rows = [...found].map(([config, value]) => ({ config, value: value ?? '' }));
        print(rows, options.json);
      }),
    );
  ofGroups(target(configs.command('set <name> <key=value...>')))
    .description('alter configs; an empty value gives one its default again')
    .action((name: string, pairs: string[], options: ConfigsTarget) =>
      withClient(options, async (client) => {
        const values = Object.fromEntries(
          pairs.map(pairOf).map(([key, value]) => [key, value === '' ? null : value]),
        );
        await (options.group
          ? client.groups.alterConfigs(name, values)
          : client.alterTopicConfigs(name, values));
        const rows = Object.entries(values).map(([config, value]) => ({ config, value }));
        if (options.json) print(rows, true);
        else say({}, `${rows.length} configs of ${name} altered`, false);
      }),
    );
}

interface ConfigsTarget extends Target {
  group: boolean;
}

function ofGroups(command: Command): Command {
  return command.option('--group', 'the name is that of a group', false);
}

function pairOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new Error(`"${text}" is not of the form key=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}
