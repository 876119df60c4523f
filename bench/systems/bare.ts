import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SystemInfo } from '../model.ts';
import { cache, root, sources } from '../paths.ts';
import { requireCommands } from '../tools.ts';
import type { Variant } from './deployments.ts';
import { LocalSystem } from './local.ts';

/** Compiles the server when it is out of date; the path of the program. */
function build(): string {
  requireCommands(['g++'], ['g++']);
  const folder = join(sources, 'systems/bare');
  const checksum = ['crc32c.cc', 'crc32c_folding.cc'].map((name) => join(root, 'native/batch', name));
  const files = [...readdirSync(folder).map((name) => join(folder, name)), ...checksum];
  const newest = Math.max(...files.map((file) => statSync(file).mtimeMs));
  const program = join(cache, 'bare-server');
  if (existsSync(program) && statSync(program).mtimeMs > newest) return program;
  mkdirSync(cache, { recursive: true });
  const options = [
    '-std=c++17',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-pthread',
    `-I${join(root, 'native')}`,
  ];
  execFileSync('g++', [...options, '-o', program, join(folder, 'server.cc'), ...checksum], {
    stdio: 'inherit',
  });
  return program;
}

/** A server that only receives, checks and writes (bare/server.cc): what the machine and the client need by themselves. */
export class Bare extends LocalSystem {
  readonly info: SystemInfo;
  override readonly producesOnly = true;

  constructor(folder: string, name: string, { about }: Variant) {
    super(folder);
    this.info = { name, version: 'a bare C++ server', about };
  }

  protected async prepare(): Promise<string[]> {
    return [build(), String(this.port), this.dir];
  }
}
