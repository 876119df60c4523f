/** The command line as values; `main.ts` reads it. */
export interface Options {
  quick: boolean;
  rounds: number;
  systems: string[];
  workloads: string[] | null;
  /** Record sizes instead of each workload's own. */
  sizes: number[] | null;
  /** Time and byte limit of one throughput measurement. */
  seconds: number;
  bytes: number;
  targets: Target[];
  kafkaHeap: string | null;
  kafabricOverrides: Record<string, string>;
  kafkaOverrides: Record<string, string>;
  syscalls: boolean;
  storedBytes: number;
  soakMinutes: number;
  /** Where the systems keep their data while they run. */
  dataFolder: string;
}

export interface Target {
  name: string;
  bootstrap: string;
  pid: number | null;
}

/** Values as commander gives them. */
export interface RawOptions {
  quick?: boolean;
  rounds?: string;
  systems?: string;
  workloads?: string;
  sizes?: string;
  seconds?: string;
  bytes?: string;
  target?: string[];
  name?: string[];
  pid?: string[];
  kafkaHeap?: string;
  kafabricOverride?: string[];
  kafkaOverride?: string[];
  syscalls?: boolean;
  storedBytes?: string;
  soakMinutes?: string;
  dataDir?: string;
}

const multiples: Record<string, number> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

/** "100000", "1e9", "100KB", "1 MB" or "10g"; decimal multiples. */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmg]?)b?\s*$/i.exec(text);
  const bytes = match ? Math.round(Number(match[1]) * multiples[match[2]!.toLowerCase()]!) : 0;
  if (!(bytes > 0))
    throw new Error(`${text} is not a number of bytes; give for example 100000, 100KB or 10g`);
  return bytes;
}

function parseNumber(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} ${text}: a number above 0 is needed`);
  return value;
}

export function parseWhole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${name} ${text}: a whole number above 0 is needed`);
  return value;
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

export function parsePairs(name: string, entries: string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf('=');
      if (at <= 0) throw new Error(`--${name} ${entry}: key=value is needed`);
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

/** The n-th --target has the n-th --name and the n-th --pid. */
function parseTargets(raw: RawOptions): Target[] {
  const addresses = raw.target ?? [];
  if ((raw.name?.length ?? 0) > addresses.length || (raw.pid?.length ?? 0) > addresses.length)
    throw new Error('every --name and --pid belongs to a --target');
  return addresses.map((bootstrap, i) => ({
    bootstrap,
    name: raw.name?.[i] ?? `target${i + 1}`,
    pid: raw.pid?.[i] === undefined ? null : parseWhole('pid', raw.pid[i]!),
  }));
}

function oneOf(name: string, values: string[], known: readonly string[]): string[] {
  const unknown = values.filter((value) => !known.includes(value));
  if (unknown.length > 0)
    throw new Error(`--${name}: ${unknown.join(', ')} unknown; there are ${known.join(', ')}`);
  return values;
}

export function parseOptions(
  raw: RawOptions,
  known: { systems: readonly string[]; workloads: readonly string[] },
  defaults: { dataFolder: string },
): Options {
  const quick = raw.quick ?? false;
  const targets = parseTargets(raw);
  const systems = raw.systems === undefined ? ['kafabric', 'kafka'] : list(raw.systems);
  const names = [...systems, ...targets.map(({ name }) => name)];
  if (names.length === 0)
    throw new Error('there is nothing to measure: --systems is empty, and there is no --target');
  if (new Set(names).size < names.length)
    throw new Error(`the systems ${names.join(', ')} are not all different`);
  return {
    quick,
    rounds: raw.rounds === undefined ? (quick ? 1 : 3) : parseWhole('rounds', raw.rounds),
    systems: oneOf('systems', systems, known.systems),
    workloads: raw.workloads === undefined ? null : oneOf('workloads', list(raw.workloads), known.workloads),
    sizes: raw.sizes === undefined ? null : list(raw.sizes).map(parseBytes),
    seconds: raw.seconds === undefined ? (quick ? 0.8 : 1) : parseNumber('seconds', raw.seconds),
    bytes: parseBytes(raw.bytes ?? (quick ? '400MB' : '1GB')),
    targets,
    kafkaHeap: raw.kafkaHeap ?? null,
    kafabricOverrides: parsePairs('kafabric-override', raw.kafabricOverride ?? []),
    kafkaOverrides: parsePairs('kafka-override', raw.kafkaOverride ?? []),
    syscalls: raw.syscalls ?? !quick,
    storedBytes: parseBytes(raw.storedBytes ?? (quick ? '1GB' : '10GB')),
    soakMinutes: parseNumber('soak-minutes', raw.soakMinutes ?? '30'),
    dataFolder: raw.dataDir ?? defaults.dataFolder,
  };
}
