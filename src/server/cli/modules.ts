import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import type { ClientOptions, FormModule } from '../../client/index.ts';
import { collect } from './settings.ts';

export interface ModuleOptions {
  module: string[];
}

export function allowModules(command: Command): Command {
  return command.option(
    '--module <specifier>',
    'a module that the topic or the group may name, looked for from the working directory (repeatable)',
    collect,
    [],
  );
}

/** The modules that are allowed, as the client takes them. */
export function modulesOf({ module: allowed }: ModuleOptions): Pick<ClientOptions, 'modules'> {
  const require = createRequire(join(process.cwd(), 'kafabric'));
  const load = (specifier: string): Promise<FormModule> =>
    import(pathToFileURL(require.resolve(specifier)).href);
  return { modules: Object.fromEntries(allowed.map((specifier) => [specifier, () => load(specifier)])) };
}
