import type { Command } from 'commander';
import type { GroupDescription } from '../../client/index.ts';
import { SELECTIONS, selectorOf } from './selections.ts';
import { collect } from './settings.ts';
import {
  jsonOf,
  positionOf,
  positionText,
  print,
  say,
  shown,
  type Target,
  tableOf,
  target,
  withClient,
} from './target.ts';

interface ResetOptions extends Target {
  to: string;
  topic: string[];
  execute: boolean;
}

/** `kafabric groups`: consumer groups of a running gateway, of any Kafka client. */
export function addGroupsCommand(program: Command): void {
  const groups = program
    .command('groups')
    .description('list, describe, reset and delete consumer groups of a running gateway');
  target(groups.command('list'))
    .description('every group with its type and state')
    .action((options: Target) =>
      withClient(options, async (client) =>
        print(
          (await client.groups.list()).map(({ groupId, type, state }) => ({ group: groupId, type, state })),
          options.json,
          'there are no groups',
        ),
      ),
    );
  target(groups.command('describe <group>'))
    .description('members of a group, and how far it is in each partition')
    .action((group: string, options: Target) =>
      withClient(options, async (client) => describe(await client.groups.describe(group), options.json)),
    );
  target(groups.command('reset <group>'))
    .description(
      'move the offsets of a group without members; without --execute it only says what would change',
    )
    .requiredOption('--to <position>', `${positionText}; moved inside of what is there`)
    .option(
      '--topic <name>',
      'all partitions of this topic (repeatable); default: what is committed',
      collect,
      [],
    )
    .option('--dry-run', 'only say what would change (the default)')
    .option('--execute', 'change it', false)
    .action(reset);
  target(groups.command('selector <group> [selection]'))
    .description(`show or set what the direct consumers of a group select: ${SELECTIONS}`)
    .option('--clear', 'take it away', false)
    .action(selector);
  target(groups.command('delete <group>'))
    .description('delete a group without members, with its offsets')
    .action((group: string, options: Target) =>
      withClient(options, async (client) => {
        await client.groups.delete(group);
        say({ group, deleted: true }, `group ${group} deleted`, options.json);
      }),
    );
}

async function selector(
  group: string,
  text: string | undefined,
  { clear, ...options }: Target & { clear: boolean },
): Promise<void> {
  if (clear && text !== undefined) throw new Error('give either a selection or --clear');
  await withClient(options, async (client) => {
    if (clear || text !== undefined)
      await client.groups.setDataSelector(group, text === undefined ? null : selectorOf(text));
    const stored = await client.groups.dataSelector(group);
    const shown = stored === null ? 'none is stored' : jsonOf(stored);
    process.stdout.write(`${options.json ? jsonOf({ group, selector: stored }) : shown}\n`);
  });
}

function describe({ groupId, type, state, members, partitions }: GroupDescription, json: boolean): void {
  const rows = partitions.map(({ topic, partition, committed, end, lag, member }) => ({
    topic,
    partition,
    committed,
    end,
    lag,
    member: member?.memberId ?? null,
    client: member?.clientId ?? null,
    host: member?.host ?? null,
  }));
  if (json) {
    process.stdout.write(`${jsonOf({ group: groupId, type, state, members, partitions: rows })}\n`);
    return;
  }
  const idle = members.filter((one) => one.partitions.length === 0);
  const title = `${groupId}: ${type.toLowerCase()} group, ${state}, ${members.length} members`;
  process.stdout.write(`${shown(title)}\n`);
  process.stdout.write(tableOf(rows));
  for (const { memberId, clientId, host } of idle)
    process.stdout.write(`${shown(`without partitions: ${memberId} (${clientId} at ${host})`)}\n`);
}

async function reset(
  group: string,
  { to, topic, execute, dryRun, ...options }: ResetOptions & { dryRun?: boolean },
): Promise<void> {
  if (execute && dryRun) throw new Error('give either --dry-run or --execute');
  const position = positionOf(to);
  await withClient(options, async (client) => {
    const changes = await client.groups.planOffsets(group, position, topic.length === 0 ? null : topic);
    if (changes.length === 0)
      throw new Error(`group ${group} has committed nothing; --topic says which partitions are meant`);
    if (execute)
      await client.groups.setOffsets(
        group,
        changes.map(({ after, ...one }) => ({ ...one, offset: after })),
      );
    print(
      changes.map((change) => ({ ...change })),
      options.json,
    );
    if (!execute && !options.json) process.stdout.write('nothing was changed: --execute does it\n');
  });
}
