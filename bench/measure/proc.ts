/** Readers of /proc/PID; the parsers are apart from the file access, so that they can be tested. */
import { readFileSync } from 'node:fs';

const ticksPerSecond = 100;

export interface Memory {
  rssMb: number;
  rssAnonMb: number;
  rssFileMb: number;
  rssShmemMb: number;
  /** Huge pages of hugetlbfs, which the kernel does not count as resident; here they are in `rssMb` too. */
  rssHugeMb: number;
}

/** User and system seconds; the command's name may hold spaces and parentheses. */
export function parseCpu(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export function parseMemory(status: string): Memory {
  const megabytes = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024) / 1e6;
  return {
    rssMb: megabytes('VmRSS') + megabytes('HugetlbPages'),
    rssAnonMb: megabytes('RssAnon'),
    rssFileMb: megabytes('RssFile'),
    rssShmemMb: megabytes('RssShmem'),
    rssHugeMb: megabytes('HugetlbPages'),
  };
}

/** Bytes that the process caused to be written to a device; those of files that were deleted before are counted too. */
export function parseWritten(io: string): number {
  return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
}

/** Bytes that the process had read from a device. */
export function parseRead(io: string): number {
  return Number(/^read_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
}

function read(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return null; // ended, or another user's
  }
}

export function cpuSeconds(pid: number): number | null {
  const text = read(pid, 'stat');
  return text === null ? null : parseCpu(text);
}

export function memoryOf(pid: number): Memory | null {
  const text = read(pid, 'status');
  return text === null ? null : parseMemory(text);
}

export function writtenBytes(pid: number): number | null {
  const text = read(pid, 'io');
  return text === null ? null : parseWritten(text);
}

export function readBytes(pid: number): number | null {
  const text = read(pid, 'io');
  return text === null ? null : parseRead(text);
}
