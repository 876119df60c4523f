import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A precondition that only the owner of the machine can meet. */
export class Missing extends Error {}

function hasCommand(name: string): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return [...folders, '/usr/sbin'].some((folder) => existsSync(join(folder, name)));
}

/** As a POSIX shell takes it for one word; what needs no quotes has none. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Installs Debian packages when this is Debian and we are root; otherwise says which. */
export function debian(packages: string[], why: string): void {
  const how = `apt-get install ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !hasCommand('apt-get'))
    throw new Missing(`${why}; get it with: sudo ${how}`);
  console.log(`installing ${packages.join(', ')} ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...packages];
  // What it complains of is in the message of what is thrown.
  const aptGet = (args: string[]) =>
    execFileSync('apt-get', args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  try {
    aptGet(install);
  } catch {
    aptGet(['update', '-qq']);
    aptGet(install);
  }
}

export function requireCommands(commands: string[], packages: string[]): void {
  const absent = commands.filter((name) => !hasCommand(name));
  if (absent.length > 0) debian(packages, `${absent.join(' and ')} not found`);
}
