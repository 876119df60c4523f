import type { Report } from '../generators/load.ts';

export interface HostReport {
  host: string;
  report: Report;
}

export interface Merged {
  records: number;
  bytes: number;
  /** All hosts start together: the slowest ends the run. */
  seconds: number;
  clientCpu: number;
  failed: number;
  mbPerS: number;
  recordsPerS: number;
}

export function mergeReports(reports: readonly Report[]): Merged {
  const sum = (name: string): number => reports.reduce((total, report) => total + (report[name] ?? 0), 0);
  const [records, bytes] = [sum('records'), sum('bytes')];
  const seconds = Math.max(0, ...reports.map((report) => report.seconds ?? 0));
  return {
    records,
    bytes,
    seconds,
    clientCpu: sum('clientCpu'),
    failed: sum('failed'),
    mbPerS: seconds > 0 ? bytes / 1e6 / seconds : 0,
    recordsPerS: seconds > 0 ? records / seconds : 0,
  };
}

function line(host: string, { records, mbPerS, recordsPerS, seconds, failed }: Merged): string {
  const rate = `${mbPerS.toFixed(1)} MB/s, ${Math.round(recordsPerS)} records/s`;
  return `${host.padEnd(24)} ${records} records in ${seconds.toFixed(2)} s, ${rate}${failed > 0 ? `, ${failed} FAILED` : ''}`;
}

export function mergedText(reports: readonly HostReport[]): string {
  const lines = reports.map(({ host, report }) => line(host, mergeReports([report])));
  if (reports.length > 1) lines.push(line('all', mergeReports(reports.map(({ report }) => report))));
  return lines.join('\n');
}
