import { Command } from 'commander';
import type { RawClientOptions } from './clients/plan.ts';
import type { RawOptions } from './options.ts';

export interface RunFlags {
  check?: boolean;
  saveRegression?: boolean;
  docs?: boolean;
}

export type ReportFlags = Pick<RunFlags, 'docs' | 'saveRegression'>;

export interface Actions {
  run(options: RawOptions & RunFlags): Promise<void>;
  clients(options: RawClientOptions): Promise<void>;
  report(files: string[], options: ReportFlags): Promise<void>;
}

function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

function addRun(program: Command, actions: Actions, known: { systems: string[]; workloads: string[] }): void {
  const run = program
    .command('run', { isDefault: true })
    .description('measure systems side by side (the default command)')
    .option('--quick', 'fewer cases, one round: two or three minutes')
    .option('--systems <names>', `of ${known.systems.join(', ')}`, 'kafabric,kafka')
    .option(
      '--workloads <names>',
      `of ${known.workloads.join(', ')}; without it all but direct, direct-kept, burst, migration, migration-flush and soak, and in a quick run startup, produce, consume, latency and small`,
    )
    .option('--sizes <list>', 'record sizes, as 100,1KB,1MB, instead of each workload’s own')
    .option('--rounds <n>', 'rounds in which the systems alternate (3, quick 1)')
    .option('--seconds <n>', 'longest time of one measurement (1, quick 0.8)')
    .option('--bytes <n>', 'most bytes of one measurement (1GB, quick 400MB)')
    .option('--stored-bytes <n>', 'data stored when recovery is measured (10GB, quick 1GB)')
    .option('--soak-minutes <n>', 'length of the soak workload (30)')
    .option(
      '--target <host:port>',
      'a running Kafka-compatible system to measure as well (repeatable)',
      collect,
    )
    .option('--name <name>', 'name of the target', collect)
    .option('--pid <pid>', 'its process on this machine, to measure CPU, memory and disk', collect)
    .option('--kafka-heap <size>', 'heap of Kafka: 1g, or default for what Java takes by itself')
    .option('--kafabric-override <key=value>', 'a setting of Kafabric (repeatable)', collect)
    .option('--kafka-override <key=value>', 'a setting of Kafka (repeatable)', collect)
    .option('--syscalls', 'count system calls in a quick run too, which takes longer')
    .option('--no-syscalls', 'do not count system calls')
    .option('--data-dir <path>', 'where the systems keep their data while they run')
    .option('--check', 'fail when a figure with a target is worse than bench/regression.json allows')
    .option('--save-regression', 'write this run’s ratios to bench/regression.json')
    .option('--docs', 'write what this run measured into docs/benchmarks.md and bench/recorded.json')
    .action((options) => actions.run(options));
  // `npm run bench -- --help` should show what most people look for.
  program.addHelpText('after', () => `\n${run.helpInformation()}`);
}

function addClients(program: Command, actions: Actions): void {
  program
    .command('clients')
    .description('load one broker from many hosts at once, over ssh, and merge what they measured')
    .requiredOption('--type <type>', 'producer or consumer')
    .requiredOption('--bootstrap <host:port>', 'the broker, as the hosts reach it')
    .requiredOption('--num-records <n>', 'records in all')
    .option('--hosts <names>', 'hosts separated by spaces; without it this machine, without ssh')
    .option('--threads <n>', 'clients on each host', '16')
    .option('--topic <name>', 'topic to produce to or to consume from', 'bench-clients')
    .option(
      '--partitions <n>',
      'partitions of the topic, which a producer run makes when it is missing',
      '16',
    )
    .option('--record-size <bytes>', 'record size of producers', '1KB')
    .option('--property <name=value>', 'a librdkafka property (repeatable)', collect)
    .option('--ssh <command>', 'how to reach a host', 'ssh')
    .action((options) => actions.clients(options));
}

/** The command line of `npm run bench`. */
export function commandLine(actions: Actions, known: { systems: string[]; workloads: string[] }): Command {
  const program = new Command('npm run bench --')
    .description('Kafabric and Apache Kafka side by side on this machine, with the same unmodified clients.')
    .showHelpAfterError();
  addRun(program, actions, known);
  addClients(program, actions);
  program
    .command('report')
    .description('write the reports of an earlier run again')
    .argument(
      '[files...]',
      'files of bench/results/, from which each workload is taken from the last that has it; the newest when absent',
    )
    .option('--docs', 'write it into docs/benchmarks.md and bench/recorded.json too')
    .option('--save-regression', 'write the ratios to bench/regression.json')
    .action((files, options) => actions.report(files, options));
  return program;
}
