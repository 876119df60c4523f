// Debian packages without installing them: downloaded by apt as it is configured on this machine, unpacked into a folder. Needs no root.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Something that only the owner of the machine can provide. */
export class Missing extends Error {}

async function apt(program, args, cwd) {
  const env = { ...process.env, LC_ALL: 'C.UTF-8' };
  try {
    return (await execute(program, args, { cwd, env, maxBuffer: 16 << 20 })).stdout;
  } catch (error) {
    if (error.code === 'ENOENT')
      throw new Missing(`${program} is not here: the packages of Debian are needed`);
    const reason = (error.stderr ?? String(error)).split('\n').find((line) => line.startsWith('E:'));
    throw new Missing(`${program} ${args.join(' ')}: ${reason ?? error.message} (apt-get update may help)`);
  }
}

/** The package that a metapackage such as linux-image-amd64 stands for. */
export async function behind(metapackage) {
  const listed = await apt('apt-cache', ['depends', '--no-recommends', '--no-suggests', metapackage]);
  const name = /^\s*Depends: (\S+)$/m.exec(listed)?.[1];
  if (!name) throw new Missing(`apt knows nothing behind ${metapackage} (apt-get update may help)`);
  return name;
}

/** The packages and what they need, as far as they are not installed here: names with versions. */
export async function lacking(packages) {
  const args = ['install', '--print-uris', '-qq', '-y', '--no-install-recommends', ...packages];
  const uris = await apt('apt-get', args);
  return [...uris.matchAll(/^'[^']*' (\S+?)_(\S+?)_\w+\.deb /gm)].map(
    ([, name, version]) => `${name}=${decodeURIComponent(version)}`,
  );
}

/** Packages still have files in /lib and /sbin, which on systems are links into /usr. */
function mergeUsr(folder) {
  for (const top of ['bin', 'lib', 'lib64', 'sbin']) {
    const from = join(folder, top);
    if (!existsSync(from)) continue;
    cpSync(from, join(folder, 'usr', top), { recursive: true, verbatimSymlinks: true });
    rmSync(from, { recursive: true });
  }
}

/** Downloads the packages, nothing beside them, and unpacks them into `folder`. */
export async function unpack(packages, folder) {
  mkdirSync(folder, { recursive: true });
  if (packages.length === 0) return;
  const downloads = `${folder}.debs`;
  mkdirSync(downloads, { recursive: true });
  try {
    // Root's downloads are done by another user, who may not write here; as what they are they are checked either way.
    await apt('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', ...packages], downloads);
    for (const name of readdirSync(downloads)) await apt('dpkg', ['-x', join(downloads, name), folder]);
    mergeUsr(folder);
  } finally {
    rmSync(downloads, { recursive: true, force: true });
  }
}
