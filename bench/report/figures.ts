/** How each figure is named, which way is better, and what it is called in tables. */
export interface Figure {
  title: string;
  unit: string;
  better: 'higher' | 'lower';
  /** Only in the long tables of the HTML page. */
  detail?: boolean;
}

export const figures: Record<string, Figure> = {
  mbPerS: { title: 'throughput', unit: 'MB/s', better: 'higher' },
  consumedMbPerS: { title: 'consumed', unit: 'MB/s', better: 'higher' },
  recordsPerS: { title: 'records', unit: '1/s', better: 'higher' },
  requestsPerS: { title: 'requests', unit: '1/s', better: 'higher', detail: true },
  commitsPerS: { title: 'commits', unit: '1/s', better: 'higher' },
  cpuUsPerCommit: { title: 'broker CPU', unit: 'us/commit', better: 'lower' },
  p50Ms: { title: 'p50', unit: 'ms', better: 'lower' },
  p90Ms: { title: 'p90', unit: 'ms', better: 'lower', detail: true },
  p99Ms: { title: 'p99', unit: 'ms', better: 'lower' },
  p999Ms: { title: 'p99.9', unit: 'ms', better: 'lower' },
  maxMs: { title: 'max', unit: 'ms', better: 'lower' },
  p99OfStill: { title: 'p99 against that without moves', unit: 'x', better: 'lower' },
  cpuPerGb: { title: 'broker CPU', unit: 's/GB', better: 'lower' },
  cpuUsPerRecord: { title: 'broker CPU', unit: 'us/record', better: 'lower' },
  cpuSeconds: { title: 'broker CPU', unit: 's', better: 'lower' },
  syscallsPerRequest: { title: 'system calls', unit: '1/request', better: 'lower' },
  writtenPerByte: { title: 'written', unit: 'B/B', better: 'lower' },
  writtenMb: { title: 'written', unit: 'MB', better: 'lower', detail: true },
  clientCpuPerGb: { title: 'client CPU', unit: 's/GB', better: 'lower', detail: true },
  bothCpuPerGb: { title: 'client and broker CPU', unit: 's/GB', better: 'lower', detail: true },
  pushPullCpuPerGb: {
    title: 'client and broker CPU of push and pull',
    unit: 's/GB',
    better: 'lower',
    detail: true,
  },
  ofSmall: { title: 'rate against that of as many events of 1 KB', unit: 'x', better: 'higher' },
  ofCopy: { title: 'of what one thread copies', unit: 'x', better: 'higher' },
  ofIdeal: { title: 'time of the part', unit: 'x ideal', better: 'lower', detail: true },
  ofIdealData: {
    title: 'time of the part, but for metadata',
    unit: 'x ideal',
    better: 'lower',
    detail: true,
  },
  acceptSeconds: { title: 'first connection', unit: 's', better: 'lower' },
  answerSeconds: { title: 'first answer', unit: 's', better: 'lower' },
  startCpuSeconds: { title: 'CPU to start', unit: 's', better: 'lower', detail: true },
  idleCpuPercent: { title: 'CPU at rest', unit: '%', better: 'lower' },
  formSeconds: { title: 'form', unit: 's', better: 'lower' },
  joinSeconds: { title: 'join', unit: 's', better: 'lower' },
  leaveSeconds: { title: 'leave', unit: 's', better: 'lower' },
  storedGb: { title: 'stored', unit: 'GB', better: 'higher', detail: true },
  stopSeconds: { title: 'clean stop', unit: 's', better: 'lower' },
  restartSeconds: { title: 'start after it', unit: 's', better: 'lower' },
  recoverySeconds: { title: 'start after kill -9', unit: 's', better: 'lower' },
  createSeconds: { title: 'creation', unit: 's', better: 'lower' },
  bytesPerConnection: { title: 'growth', unit: 'B/connection', better: 'lower' },
  bytesPerPartition: { title: 'growth', unit: 'B/partition', better: 'lower' },
  rssMb: { title: 'resident', unit: 'MB', better: 'lower' },
  rssOwnMb: { title: 'resident without shared memory', unit: 'MB', better: 'lower' },
  rssAnonMb: { title: 'anonymous', unit: 'MB', better: 'lower', detail: true },
  rssFileMb: { title: 'files', unit: 'MB', better: 'lower', detail: true },
  rssShmemMb: { title: 'shared', unit: 'MB', better: 'lower', detail: true },
  rssHugeMb: { title: 'huge pages', unit: 'MB', better: 'lower', detail: true },
  rssDrift: { title: 'memory drift', unit: 'x', better: 'lower' },
  p50Drift: { title: 'p50 drift', unit: 'x', better: 'lower' },
  p99Drift: { title: 'p99 drift', unit: 'x', better: 'lower' },
};

export function heading(metric: string): string {
  const figure = figures[metric];
  return figure ? `${figure.title}, ${figure.unit}` : metric;
}

/** Three significant digits, thousands without decimals. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
