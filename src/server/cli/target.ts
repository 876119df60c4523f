import { type Command, Option } from 'commander';
import type { Client, ClientOptions, Path, StartPosition } from '../../client/index.ts';

/** The options that every command for a running gateway has. */
export interface Target {
  bootstrap: string;
  json: boolean;
}

export function target(command: Command): Command {
  return command
    .requiredOption('--bootstrap <host:port>', 'a DIRECT listener of the gateway (required)')
    .option('--json', 'JSON instead of text', false);
}

/** How data moves. */
export interface PathOptions {
  path: Path | 'auto';
  provider?: string;
}

export function withPath(command: Command): Command {
  const path = new Option('--path <path>', 'how data moves')
    .choices(['auto', 'shared-memory', 'fabric', 'tcp'])
    .default('auto');
  return command
    .addOption(path)
    .option('--provider <name>', 'of libfabric, with --path fabric: cxi, verbs;ofi_rxm, tcp;ofi_rxm, ...');
}

/** As the client takes them. */
export function pathOf({
  path = 'auto',
  provider,
}: Partial<PathOptions>): Pick<ClientOptions, 'path' | 'fabric'> {
  return { path, ...(provider === undefined ? {} : { fabric: { provider } }) };
}

/** Other commands need not load the client. */
export async function withClient(
  options: { bootstrap: string } & Partial<PathOptions> & Pick<ClientOptions, 'modules'>,
  action: (client: Client) => Promise<void>,
): Promise<void> {
  const { Client } = await import('../../client/index.ts');
  const { bootstrap, modules = {} } = options;
  const client = await Client.connect({ bootstrap, modules, ...pathOf(options), clientId: 'kafabric-cli' });
  try {
    await action(client);
  } finally {
    client.close();
  }
}

/** A cell: what JSON has as it is, and bigints as text. */
export type Row = Readonly<Record<string, string | number | bigint | boolean | null>>;

/** Rows as a table, or as JSON. */
export function print(rows: readonly Row[], json: boolean): void {
  process.stdout.write(json ? `${jsonOf(rows)}\n` : tableOf(rows));
}

/** Of what was done: one object with --json, a sentence otherwise. */
export function say(done: Row, text: string, json: boolean): void {
  process.stdout.write(`${json ? jsonOf(done) : text}\n`);
}

/** JSON, in which bigints are text: offsets may be larger than numbers can say. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));
}

/** Columns as wide as they need to be; null is a dash. */
export function tableOf(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => String(row[name] ?? '-')))];
  const widths = names.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const text = lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
  return names.length === 0 ? '' : `${text.join('\n')}\n`;
}

const POSITIONS = 'earliest, latest, an offset, or a time as 2026-01-31T12:00:00Z';

/** "earliest", "latest", an offset or a time. @throws Error for anything else */
export function positionOf(text: string): StartPosition {
  if (text === 'earliest' || text === 'latest') return text;
  if (/^\d+$/.test(text)) return { offset: BigInt(text) };
  const timestamp = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(timestamp)) throw new Error(`"${text}" is no position: ${POSITIONS}`);
  return { timestamp };
}

export const positionText = POSITIONS;
