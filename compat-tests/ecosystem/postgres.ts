import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { Child, until } from '../harness/child.ts';
import { output } from './programs.ts';

const VERSIONS = '/usr/lib/postgresql';
const START_TIMEOUT_MS = 60_000;

/** PostgreSQL does not run as root; Debian's package brings this user. setpriv turns into the program, so that signals reach it. */
const asItself =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];

function binary(name: string): string {
  const newest = readdirSync(VERSIONS)
    .filter((version) => existsSync(join(VERSIONS, version, 'bin', name)))
    .sort((a, b) => Number(b) - Number(a))[0];
  if (!newest) throw new Error(`no ${name} below ${VERSIONS}; apt-get install postgresql`);
  return join(VERSIONS, newest, 'bin', name);
}

/** A database server on a port of its own that others can replicate from. */
export class Postgres {
  readonly port: number;
  readonly #child: Child;

  private constructor(port: number, child: Child) {
    this.port = port;
    this.#child = child;
  }

  /** Starts it with an empty database in `dir`, which has to be reachable for the user postgres. */
  static async start(dir: string): Promise<Postgres> {
    const port = await freePort();
    chmodSync(dir, 0o755);
    const data = join(dir, 'postgres');
    mkdirSync(data);
    if (asItself.length > 0) await output(['chown', 'postgres', data]);
    await output([...asItself, binary('initdb'), '-D', data, '-U', 'postgres', '-A', 'trust', '-N']);
    const settings = { wal_level: 'logical', fsync: 'off', listen_addresses: '127.0.0.1' };
    const flags = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
    const command = [binary('postgres'), '-D', data, '-p', `${port}`, '-k', data, ...flags];
    const postgres = new Postgres(port, new Child([...asItself, ...command]));
    await until('PostgreSQL answers', START_TIMEOUT_MS, async () => {
      if (!postgres.#child.running) throw new Error(`PostgreSQL ended:\n${postgres.#child.output}`);
      return postgres.run('SELECT 1').then(
        () => true,
        () => false,
      );
    });
    return postgres;
  }

  /** Resolves to the rows, a line each, their columns separated by `|`. */
  async run(sql: string): Promise<string[]> {
    const connection = ['-h', '127.0.0.1', '-p', `${this.port}`, '-U', 'postgres', '-v', 'ON_ERROR_STOP=1'];
    const text = await output([binary('psql'), ...connection, '-q', '-A', '-t', '-c', sql]);
    return text.split('\n').filter((line) => line !== '');
  }

  /** Its fast way of ending, which does not wait for those who replicate. */
  stop(): Promise<void> {
    return this.#child.kill('SIGINT');
  }
}
