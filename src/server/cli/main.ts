#!/usr/bin/env node
import { Command, Help, Option } from 'commander';
import type { LogLevel } from '../logging.ts';
import { version } from '../version.ts';
import { configCommand } from './config-command.ts';
import { addConsumeCommand } from './consume-command.ts';
import { addDirectBenchCommand } from './direct-bench-command.ts';
import { type DoctorOptions, doctorCommand } from './doctor-command.ts';
import { forgetStoreTierCommand, forgetTierCommand } from './forget-tier-command.ts';
import { addGroupsCommand } from './groups-command.ts';
import { isInterruption, watchOutput } from './interruption.ts';
import { assertKnown } from './known-commands.ts';
import { type InlineCommandOptions, inlineCommand } from './log-command.ts';
import { type VerifyOptions, verifyCommand } from './payload-command.ts';
import { addProduceCommand } from './produce-command.ts';
import { collect, type SettingOptions, settingsFrom } from './settings.ts';
import { startCommand } from './start-command.ts';
import { type DrainOptions, drainCommand, storeCommand } from './store-command.ts';
import { addTopicCommands } from './topic-commands.ts';

function withSettings(command: Command): Command {
  return command
    .option('-c, --config <file>', 'properties file; ./kafabric.properties is read when it is there')
    .option('-o, --override <key=value>', 'set one configuration key (repeatable)', collect, []);
}

function logLevel(): Option {
  return new Option('--log-level <level>', 'least severe level that is logged')
    .choices(['debug', 'info', 'warn', 'error'])
    .default('info')
    .env('KAFABRIC_LOG_LEVEL');
}

const standardHelp = new Help();

const program = new Command('kafabric')
  .description(
    'A Kafka-protocol gateway: existing Kafka clients work unchanged, large payloads get a tier of their own.',
  )
  .version(version)
  .showHelpAfterError()
  .configureHelp({
    // That an option is not given unless it is needs no words.
    optionDescription: (option) =>
      standardHelp.optionDescription(option).replace(/ \(default: (\[\]|false)\)$/, ''),
  })
  .addHelpText(
    'after',
    '\nKeys come from the defaults, the properties file, KAFABRIC_<KEY> or KAFKA_<KEY> in the environment, and --override,\n' +
      'each winning over the one before. `kafabric config` shows them all.',
  );

withSettings(program.command('start', { isDefault: true }))
  .description('run the gateway (the default command)')
  .addOption(logLevel())
  .action((options: SettingOptions & { logLevel: LogLevel }) =>
    startCommand(settingsFrom(options), options.logLevel),
  );

const store = program
  .command('store')
  .description('run a payload store, which keeps payload for gateways, or look after one');

withSettings(store.command('run', { isDefault: true }))
  .description(
    'run a payload store: payload.store.* and payload.stores.secret or payload.stores.ssl.* say how (the default)',
  )
  .addOption(logLevel())
  .addHelpText('after', '\nSee docs/stores.md.')
  .action((options: SettingOptions & { logLevel: LogLevel }) =>
    storeCommand(settingsFrom(options), options.logLevel),
  );

withSettings(store.command('drain'))
  .description('have gateways move what the store at an address has to others, and give it nothing new')
  .argument('<host:port>', 'the address of the store')
  .option('--wait', 'return when the store is empty', false)
  .option('--off', 'end draining: the store takes payload again', false)
  .addHelpText(
    'after',
    '\nThe store stays drained when it is started again. It needs payload.stores.secret, or a certificate, as gateways do.',
  )
  .action((address: string, options: SettingOptions & DrainOptions) =>
    drainCommand(settingsFrom(options), address, options),
  );

withSettings(store.command('forget-tier'))
  .description('give up, for good, what a directory of the tiers of a stopped store held')
  .argument('<path>', 'as storage.tiers.*.paths named it')
  .addHelpText(
    'after',
    '\nFor a disk that is dead. Not for one that is only not mounted: a store starts without it, and loses nothing. See docs/stores.md.',
  )
  .action((path: string, options: SettingOptions) => forgetStoreTierCommand(settingsFrom(options), path));

withSettings(program.command('config'))
  .description('print every configuration key with its default, effective value, source and documentation')
  .addOption(new Option('--format <format>', 'how').choices(['text', 'json', 'markdown']).default('text'))
  .action((options: SettingOptions & { format: 'text' | 'json' | 'markdown' }) => {
    process.stdout.write(configCommand(settingsFrom(options), options.format));
  });

withSettings(program.command('doctor'))
  .description(
    'look at what the gateway depends on: memory, limits, disks, listeners, fabric, stores; say what to do',
  )
  .option(
    '--no-measure',
    'write nothing; by default 64 MiB go to each directory and store, and are removed again, and the ways to stores are timed',
  )
  .option('--json', 'print the findings as JSON', false)
  .addHelpText('after', '\nExit status: 0 when nothing is wrong, 1 when something is.')
  .action(async (options: SettingOptions & DoctorOptions) => {
    process.exitCode = await doctorCommand(settingsFrom(options), options);
  });

const payload = program.command('payload').description('look after the payload of a gateway that is stopped');

withSettings(payload.command('verify'))
  .description(
    'compare logs and payload: records whose payload is missing or damaged, and payload that no record refers to',
  )
  .option('-t, --topic <name>', 'only this topic (repeatable)', collect, [])
  .option('--no-read', 'only look at sizes and lists; do not read and check the payload itself')
  .option('--repair', 'remove payload that no record refers to, and lists that contradict the log', false)
  .option(
    '--remove-lost',
    'take records whose payload is missing or damaged out of the logs, for good; consumers go on behind them',
    false,
  )
  .option('--json', 'print the report as JSON', false)
  .addHelpText(
    'after',
    '\nExit status: 0 when everything was looked at, and is in order or was repaired, 1 when not.',
  )
  .action(async (options: SettingOptions & VerifyOptions) => {
    process.exitCode = await verifyCommand(settingsFrom(options), options);
  });

withSettings(payload.command('forget-tier'))
  .description('give up, for good, what a directory of the storage tiers, or a bucket, held')
  .argument('<path>', 'as storage.tiers.*.paths named it; of a bucket its URL')
  .addHelpText(
    'after',
    '\nFor a disk that is dead. Not for one that is only not mounted: a gateway starts without it, and loses nothing. See docs/tiers.md.',
  )
  .action((path: string, options: SettingOptions) => forgetTierCommand(settingsFrom(options), path));

const log = program.command('log').description('look after the logs of a gateway that is stopped');

withSettings(log.command('inline'))
  .description(
    'put all payload back into the logs, and take out of the metadata what Apache Kafka does not know, so that Kafka can be started on the data directories',
  )
  .option('--dry-run', 'only say how much there is to do', false)
  .option('--json', 'print the report as JSON', false)
  .addHelpText(
    'after',
    '\nNeeds as much free space as the largest log segment with its payload. Safe to interrupt, also by kill -9: run it again.',
  )
  .action((options: SettingOptions & InlineCommandOptions) => inlineCommand(settingsFrom(options), options));

addTopicCommands(program);
addGroupsCommand(program);
addProduceCommand(program);
addConsumeCommand(program);
addDirectBenchCommand(program);

// What runs until it is told to stop writes its log in other ways.
program.hook('preAction', (_, command) => {
  if (!['start', 'run'].includes(command.name())) watchOutput();
});

assertKnown(program, process.argv.slice(2));
try {
  await program.parseAsync();
} catch (error) {
  if (!isInterruption(error)) {
    process.stderr.write(`kafabric: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
