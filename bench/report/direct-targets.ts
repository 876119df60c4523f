/** What is asked of the direct API; see targets.ts. */
import type { Target } from './targets.ts';

const workload = 'direct';
const path = 'shared-memory';
const large = [1_000_000, 10_000_000, 100_000_000];

// Kafka's topics and the direct ones are of the same deployment: dropped topics go at once, so that Kafka's page cache has their memory again.
const reused = 'dropped topics gone at once on both';
const push = {
  path: `direct push 1 MB, 10 MB, 100 MB, ${reused}`,
  workload,
  where: { what: 'push', size: large, path },
  limit: '0073-what-one-client-and-the-kernel-take.md',
};
const pushKept = {
  path: 'direct push 1 MB, 10 MB, 100 MB, default settings',
  workload: 'direct-kept',
  where: { what: 'push', size: large, path },
  limit: '0078-what-lasting-pushes-of-large-events-wait-for.md',
};
const oneCopy = '0074-what-a-copy-of-all-takes.md';
const pull = {
  path: 'direct pull of all, 1 MB, 10 MB, 100 MB',
  workload,
  where: { what: 'pull all', size: large, path },
  limit: oneCopy,
};
const latency = { path: 'direct, from push to pull', workload, where: { what: 'latency' } };

/** Client and broker for a GB at 1 MB: of a push or a pull, and of a push and a pull, which is how Mofka's figures are given. */
function cpuTargets(path: string, atMost: number, mofka: string): Target[] {
  const one = {
    path: `direct, 1 MB, ${path}`,
    workload,
    where: { what: ['push', 'pull all'], size: 1_000_000, path },
  };
  const both = {
    ...one,
    path: `${one.path} (Mofka, in memory: ${mofka})`,
    where: { ...one.where, what: 'pull all' },
  };
  return [
    { ...one, metric: 'bothCpuPerGb', figure: 'client and broker CPU', atMost, own: true },
    {
      ...both,
      metric: 'pushPullCpuPerGb',
      figure: 'client and broker CPU of push and pull',
      atMost,
      own: true,
      limit: oneCopy,
    },
  ];
}

/** Mofka 0.9.1 on a machine of this kind, shared memory, its partitions in memory without a promise; here the log is on the disk, as acks=all of `os` promises. */
const mofkaTargets: readonly Target[] = [
  {
    path: 'direct pull of all, 1 KB, 5 times Mofka’s 10.4 k/s (shared memory, partition in memory)',
    workload,
    where: { what: 'pull all', size: 1000, path },
    metric: 'recordsPerS',
    figure: 'events a second',
    atLeast: 52_000,
    own: true,
  },
  {
    path: 'direct pull of metadata, 5 times Mofka’s 10.4 k/s where data is fetched (shared memory, partition in memory)',
    workload,
    where: { what: 'pull metadata only', size: [1000, 10_000, 100_000, 1_000_000, 10_000_000], path },
    metric: 'recordsPerS',
    figure: 'events a second',
    atLeast: 52_000,
    own: true,
  },
  {
    path: 'direct pull of metadata, Mofka’s 249 k/s of metadata alone (shared memory, partition in memory)',
    workload,
    where: { what: 'pull metadata only', size: [1000, 10_000, 100_000, 1_000_000], path },
    metric: 'recordsPerS',
    figure: 'events a second',
    atLeast: 249_000,
    own: true,
  },
  {
    path: 'direct pull of all, 1 MB, 10 MB, 100 MB, Mofka’s best (10 MB, shared memory, partition in memory, one copy)',
    workload,
    where: { what: 'pull all', size: large, path },
    metric: 'mbPerS',
    figure: 'throughput',
    atLeast: 4900,
    own: true,
  },
  {
    path: 'direct pull of all, 1 MB, 10 MB, 100 MB, mapped: not copied, which would take the broker 0.07 s/GB',
    workload,
    where: { what: 'pull all', size: large, path: 'mapped' },
    metric: 'cpuPerGb',
    figure: 'broker CPU per GB',
    atMost: 0.04,
    own: true,
  },
];

export const directTargets: readonly Target[] = [
  { ...pushKept, metric: 'mbPerS', figure: 'throughput', atLeast: 8 },
  { ...pushKept, metric: 'cpuPerGb', figure: 'broker CPU per GB', atMost: 0.1 },
  { ...push, metric: 'mbPerS', figure: 'throughput', atLeast: 8 },
  { ...push, metric: 'cpuPerGb', figure: 'broker CPU per GB', atMost: 0.1 },
  { ...pull, metric: 'mbPerS', figure: 'throughput', atLeast: 8 },
  { ...pull, metric: 'cpuPerGb', figure: 'broker CPU per GB', atMost: 0.1 },
  ...mofkaTargets,
  ...cpuTargets('shared-memory', 0.3, '2.0 s/GB'),
  ...cpuTargets('tcp', 1, '3.2 s/GB'),
  {
    path: 'direct pull of metadata',
    workload,
    where: { what: 'pull metadata only', size: [100_000, 1_000_000, 10_000_000], path },
    metric: 'recordsPerS',
    figure: 'events a second',
    atLeast: 5,
  },
  {
    path: 'direct pull of metadata, whatever the size of data',
    workload,
    where: { what: 'pull metadata only', size: [10_000, 100_000, 1_000_000, 10_000_000], path },
    limit: '0072-metadata-alone.md',
    metric: 'ofSmall',
    figure: 'events a second against as many of 1 KB',
    atLeast: 0.67,
    own: true,
  },
  {
    path: 'direct pull of a part',
    workload,
    where: { what: ['pull 50 %', 'pull 10 %', 'pull 1 %'], size: [100_000, 1_000_000, 10_000_000], path },
    limit: '0070-what-begins-once-is-not-of-an-event.md',
    metric: 'ofIdeal',
    figure: 'time against the same part of the whole’s',
    atMost: 1.5,
    own: true,
  },
  {
    path: 'direct, small events',
    workload,
    where: { what: ['push', 'pull all'], size: 1000, path },
    limit: '0077-what-small-requests-and-small-events-wait-for.md',
    metric: 'recordsPerS',
    figure: 'events a second',
    atLeast: 1,
  },
  { ...latency, metric: 'p50Ms', figure: 'p50', atMost: 1 },
  { ...latency, metric: 'p99Ms', figure: 'p99', atMost: 1 },
  {
    ...latency,
    where: { ...latency.where, size: 1000 },
    metric: 'p50Ms',
    figure: 'p50',
    atMost: 0.2,
    own: true,
  },
];
