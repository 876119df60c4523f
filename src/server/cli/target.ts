import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { Client, ClientOptions, Path, StartPosition } from '../../client/index.ts';

/** How the gateway is reached. */
export interface Reach {
  bootstrap: string;
  /** The listener speaks TLS. The others say so too. */
  tls: boolean;
  ca?: string;
  cert?: string;
  certKey?: string;
}

/** The options that every command for a running gateway has. */
export interface Target extends Reach {
  json: boolean;
}

/** The variable in the environment that spares commands `--bootstrap`. */
export const BOOTSTRAP_VARIABLE = 'KAFABRIC_BOOTSTRAP';

export function target(command: Command): Command {
  return command
    .addOption(
      new Option('--bootstrap <host:port>', 'a DIRECT or DIRECT_SSL listener of the gateway (required)')
        .env(BOOTSTRAP_VARIABLE)
        .makeOptionMandatory(),
    )
    .option('--tls', 'the listener is DIRECT_SSL', false)
    .option('--ca <file>', 'with TLS: the CAs that are trusted, in PEM; those of the system when absent')
    .option('--cert <file>', 'with TLS: the certificate of this client, in PEM')
    .option('--cert-key <file>', 'the key of that certificate, if it is not in the same file')
    .option('--json', 'JSON instead of text', false);
}

/** As the client takes it. */
export async function reachOf({
  bootstrap,
  tls,
  ca,
  cert,
  certKey = cert,
}: Reach): Promise<Pick<ClientOptions, 'bootstrap' | 'tls'>> {
  const files = { ca, cert, key: certKey };
  const entries = Object.entries(files).filter(([, file]) => file !== undefined);
  if (!tls && entries.length === 0) return { bootstrap };
  const read = entries.map(async ([name, file]) => [name, await readFile(file!)] as const);
  return { bootstrap, tls: Object.fromEntries(await Promise.all(read)) };
}

/** How data moves. */
export interface PathOptions {
  path: Path | 'auto';
  provider?: string;
}

/** @param more paths that others have no use for */
export function withPath(command: Command, more: readonly Path[] = []): Command {
  const path = new Option('--path <path>', 'how data moves')
    .choices(['auto', 'shared-memory', 'fabric', 'tcp', ...more])
    .default('auto');
  return command
    .addOption(path)
    .option('--provider <name>', 'of libfabric, with --path fabric: cxi, verbs;ofi_rxm, tcp;ofi_rxm, ...');
}

/** As the client takes them. @throws Error for a provider where data may move in another way */
export function pathOf({
  path = 'auto',
  provider,
}: Partial<PathOptions>): Pick<ClientOptions, 'path' | 'fabric'> {
  if (provider === undefined) return { path };
  if (path !== 'fabric') throw new Error('--provider is for --path fabric: give that, too');
  return { path, fabric: { provider } };
}

/** Other commands need not load the client. @param signal ends the attempt to connect */
export async function withClient(
  options: Reach & Partial<PathOptions> & Pick<ClientOptions, 'modules'>,
  action: (client: Client) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const { Client } = await import('../../client/index.ts');
  const client = await Client.connect({
    ...(await reachOf(options)),
    clientId: 'kafabric-cli',
    ...pathOf(options),
    modules: options.modules ?? {},
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    await action(client);
  } finally {
    client.close();
  }
}

/** A cell: what JSON has as it is, and bigints as text. */
export type Row = Readonly<Record<string, string | number | bigint | boolean | null>>;

/** Rows as a table, or as JSON. @param none what is said in place of a table without rows */
export function print(rows: readonly Row[], json: boolean, none = ''): void {
  if (json) process.stdout.write(`${jsonOf(rows)}\n`);
  else process.stdout.write(rows.length === 0 && none !== '' ? `${none}\n` : tableOf(rows));
}

/** Of what was done: one object with --json, a sentence otherwise. */
export function say(done: Row, text: string, json: boolean): void {
  process.stdout.write(`${json ? jsonOf(done) : text}\n`);
}

/** JSON, in which bigints are text, for offsets may be larger than numbers can say, and bytes `{"base64": ...}`. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, name, converted: unknown) {
    const one = this[name];
    if (typeof one === 'bigint') return String(one);
    // Buffers have a form in JSON of their own, several times as long.
    return one instanceof Uint8Array ? { base64: Buffer.from(one).toString('base64') } : converted;
  });
}

/** Columns as wide as they need to be; null is a dash. */
export function tableOf(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => shown(String(row[name] ?? '-'))))];
  const widths = names.map((_, i) => Math.max(...lines.map((line) => widthOf(line[i]!))));
  const text = lines.map((line) =>
    line
      .map((cell, i) => cell + ' '.repeat(widths[i]! - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  );
  return names.length === 0 ? '' : `${text.join('\n')}\n`;
}

/** Text that anybody may have chosen, as the name of a group: what ends lines, or a terminal acts on, is written as `\u{1b}`. */
export function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)!.toString(16)}}`);
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;

/** The columns that a terminal takes for a text. */
function widthOf(text: string): number {
  let width = 0;
  for (const one of text) if (!/\p{M}/u.test(one)) width += WIDE.test(one) ? 2 : 1;
  return width;
}

const POSITIONS =
  'earliest, latest, an offset, or a time as 2026-01-31T12:00:00Z (of UTC, unless it says otherwise)';
const TIME = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?$/;

/** "earliest", "latest", an offset or a time. @throws Error for anything else */
export function positionOf(text: string): StartPosition {
  if (text === 'earliest' || text === 'latest') return text;
  if (/^\d+$/.test(text) && BigInt(text) < 2n ** 63n) return { offset: BigInt(text) };
  const timestamp = timeOf(text);
  if (Number.isNaN(timestamp)) throw new Error(`"${text}" is no position: ${POSITIONS}`);
  return { timestamp };
}

/** As kafka-consumer-groups --to-datetime reads it, and wherever it is run the same. NaN for what is none. */
function timeOf(text: string): number {
  const [, date = '', time = '00:00', zone = 'Z'] = TIME.exec(text) ?? [];
  const day = Date.parse(date);
  // A day that its month does not have would be one of the next month.
  if (Number.isNaN(day) || new Date(day).toISOString().slice(0, date.length) !== date) return Number.NaN;
  return Date.parse(`${date}T${time}${zone}`);
}

export const positionText = POSITIONS;
