/** One system running under one deployment in one round: what a workload works with. */
import { freemem } from 'node:os';
import type { Load, Report } from './generators/load.ts';
import { NativeGenerator } from './generators/native.ts';
import { Meter, quiet, type Usage } from './measure/meter.ts';
import { countSyscalls, tracer } from './measure/syscalls.ts';
import { caseName, type Measurement, type Metrics, type Params } from './model.ts';
import type { Options } from './options.ts';
import type { StartTimes, System } from './systems/system.ts';

/** A topic with data. */
export interface Stored {
  topic: string;
  partitions: number;
  size: number;
  records: number;
}

/** What topics are made with: records may be as large as the largest workload's. */
export const topicLimits = { 'max.message.bytes': '104857600' };

export class Pass {
  readonly system: System;
  readonly options: Options;
  readonly round: number;
  readonly native: NativeGenerator;
  readonly started: StartTimes;
  /** What the system keeps until its end. */
  readonly stored: Stored[] = [];
  readonly measurements: Measurement[] = [];
  /** Loads a broker that has just been started again, so that it is measured warm. */
  readonly warmUp: () => Promise<void>;
  #topics = 0;
  readonly #left = new Set<string>();

  constructor(
    system: System,
    options: Options,
    round: number,
    program: string,
    started: StartTimes,
    warmUp: (pass: Pass) => Promise<void>,
  ) {
    this.system = system;
    this.options = options;
    this.round = round;
    this.native = new NativeGenerator(program, system.bootstrap);
    this.started = started;
    this.warmUp = () => warmUp(this);
  }

  record(workload: string, params: Params, metrics: Metrics): void {
    const known = Object.entries(metrics).filter(([, value]) => Number.isFinite(value));
    const measurement = {
      workload,
      params,
      system: this.system.info.name,
      round: this.round,
      metrics: Object.fromEntries(known),
    };
    this.measurements.push(measurement);
    const shown = known
      .filter(([name]) => shownMetrics.has(name))
      .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`);
    console.log(`  ${workload.padEnd(10)} ${caseName(params).padEnd(44)} ${shown.join(', ')}`);
  }

  /** A new topic. */
  async topic(partitions: number, config: Record<string, string> = {}): Promise<string> {
    const name = `bench-${process.pid}-${Date.now().toString(36)}-${this.#topics++}`;
    const all = { ...topicLimits, ...this.system.topicConfig, ...config };
    await this.native.createTopics([name], partitions, all);
    this.#left.add(name);
    return name;
  }

  async drop(topic: string): Promise<void> {
    this.#left.delete(topic);
    await this.native.deleteTopics([topic]);
  }

  /** Leaves nothing behind on a system that goes on running, of a workload that failed neither. */
  async dropLeft(): Promise<void> {
    if (this.system.controllable) return;
    for (const topic of this.#left) await this.drop(topic);
  }

  /**
   * Memory that was in use just before, for a client that takes what it reads into its own. Left to chance it is what a broker gave back to the
   * system, or what a virtual machine's host has to find first, at several times the cost of reading.
   */
  async readyMemory(): Promise<void> {
    await this.native.touchMemory(Math.min(this.options.bytes, freemem() / 4));
  }

  /**
   * Runs loads together and measures the broker meanwhile; what their warm-up has left it to do is done before.
   * @param begin starts what is to go on beside the loads
   */
  async measure(loads: Load[], begin?: () => Promise<void>): Promise<{ reports: Report[]; usage: Usage }> {
    const meter = new Meter(this.system.pid);
    try {
      await Promise.all(loads.map((load) => load.ready));
      if (this.system.pid !== null) await quiet(this.system.pid);
      await begin?.();
      meter.start();
      for (const load of loads) load.go();
      const reports = await Promise.all(loads.map((load) => load.report));
      return { reports, usage: await meter.stop() };
    } finally {
      meter.cancel();
      for (const load of loads) load.kill();
    }
  }

  /** The process whose system calls are counted: in the first round only; null where nothing can count, or nothing can be looked into. */
  get #counted(): number | null {
    return this.round > 0 || !this.options.syscalls || tracer() === null ? null : this.system.pid;
  }

  /** System calls per request of loads that run together, in a short run of their own because counting disturbs; NaN where they are not counted. */
  async syscalls(start: () => Load[]): Promise<number> {
    const pid = this.#counted;
    if (pid === null) return Number.NaN;
    const loads = start();
    try {
      await Promise.all(loads.map((load) => load.ready));
      const stop = await countSyscalls(pid);
      for (const load of loads) load.go();
      const reports = Promise.all(loads.map((load) => load.report));
      const calls = await reports.then(stop, stop);
      const requests = (await reports).reduce((sum, report) => sum + (report.requests ?? 0), 0);
      return requests > 0 ? calls / requests : Number.NaN;
    } finally {
      for (const load of loads) load.kill();
    }
  }

  /** As `syscalls`, with a topic of their own: for loads that must not find there what the measured ones have left, or leave them something. */
  async syscallsApart(partitions: number, start: (topic: string) => Load[]): Promise<number> {
    if (this.#counted === null) return Number.NaN;
    const topic = await this.topic(partitions);
    const perRequest = await this.syscalls(() => start(topic));
    await this.drop(topic);
    return perRequest;
  }
}

/** What is printed while the benchmark runs; the report has everything. */
const shownMetrics = new Set([
  'mbPerS',
  'recordsPerS',
  'commitsPerS',
  'cpuUsPerCommit',
  'cpuPerGb',
  'cpuUsPerRecord',
  'p50Ms',
  'p99Ms',
  'p99OfStill',
  'ofSmall',
  'ofCopy',
  'rssMb',
  'writtenMb',
  'acceptSeconds',
  'restartSeconds',
  'recoverySeconds',
  'formSeconds',
  'joinSeconds',
  'leaveSeconds',
  'bytesPerConnection',
  'bytesPerPartition',
]);

/** The figures that every load has: rates, and the broker's costs for them. */
export function loadMetrics(report: Report, usage: Usage): Metrics {
  const { records = 0, bytes = 0, seconds = 0, clientCpu = 0, requests = 0 } = report;
  const gigabytes = bytes / 1e9;
  const cpu = usage.cpuSeconds ?? Number.NaN;
  return {
    mbPerS: bytes / 1e6 / seconds,
    recordsPerS: records / seconds,
    cpuPerGb: cpu / gigabytes,
    cpuUsPerRecord: (cpu * 1e6) / records,
    clientCpuPerGb: clientCpu / gigabytes,
    requestsPerS: requests > 0 ? requests / seconds : Number.NaN,
    writtenPerByte: (usage.writtenBytes ?? Number.NaN) / bytes,
    rssMb: usage.peak?.rssMb ?? Number.NaN,
    rssAnonMb: usage.peak?.rssAnonMb ?? Number.NaN,
    rssFileMb: usage.peak?.rssFileMb ?? Number.NaN,
    rssShmemMb: usage.peak?.rssShmemMb ?? Number.NaN,
    rssHugeMb: usage.peak?.rssHugeMb ?? Number.NaN,
  };
}
