import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What an application counts, in a registry of its own: `Registry.merge` joins it with others. */
export class StreamsMetrics {
  readonly registry = new Registry();
  readonly recordsIn: Counter;
  readonly recordsOut: Counter;
  readonly dropped: Counter<'reason'>;
  readonly badRecords: Counter<'action'>;
  readonly commits: Counter;
  readonly commitSeconds: Histogram;
  readonly restored: Counter;
  readonly rebalances: Counter;
  readonly failures: Counter;
  readonly tasks: Gauge;
  readonly stateBytes: Gauge;
  readonly buffered: Gauge;

  constructor(applicationId: string) {
    const registers = [this.registry];
    const counter = (name: string, help: string) =>
      new Counter({ name: `kafabric_streams_${name}`, help, registers });
    const gauge = (name: string, help: string) =>
      new Gauge({ name: `kafabric_streams_${name}`, help, registers });
    this.registry.setDefaultLabels({ application: applicationId });
    this.recordsIn = counter('records_in_total', 'Records processed');
    this.recordsOut = counter(
      'records_out_total',
      'Records written, to changelogs and repartition topics too',
    );
    this.dropped = new Counter({
      name: 'kafabric_streams_dropped_total',
      help: 'Records that aggregations and joins left out: too late, or without a key or value',
      labelNames: ['reason'],
      registers,
    });
    this.badRecords = new Counter({
      name: 'kafabric_streams_bad_records_total',
      help: 'Records that could not be deserialized',
      labelNames: ['action'],
      registers,
    });
    this.commits = counter('commits_total', 'Commits of tasks');
    this.commitSeconds = new Histogram({
      name: 'kafabric_streams_commit_seconds',
      help: 'Time that a commit of a task takes',
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
      registers,
    });
    this.restored = counter('restored_total', 'Records of changelogs read to restore state');
    this.rebalances = counter('rebalances_total', 'Assignments received');
    this.failures = counter(
      'failures_total',
      'Failures after which all tasks started again from what is committed',
    );
    this.tasks = gauge('tasks', 'Tasks that run here');
    this.stateBytes = gauge('state_bytes', 'Memory that state takes');
    this.buffered = gauge('buffered_records', 'Records that wait to be processed');
  }
}
