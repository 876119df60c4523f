import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compileFunction, constants } from 'node:vm';
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
  const here = join(process.cwd(), 'kafabric');
  const require = createRequire(here);
  const load = (specifier: string): Promise<FormModule> => {
    try {
      return import(pathToFileURL(require.resolve(specifier)).href);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error;
      return importAt(here, specifier);
    }
  };
  return { modules: Object.fromEntries(allowed.map((specifier) => [specifier, () => load(specifier)])) };
}

/** What `import` finds in a file there: packages may have nothing for `require`. Node warns that it may change how this is done. */
function importAt(filename: string, specifier: string): Promise<FormModule> {
  const load = compileFunction('return import(specifier)', ['specifier'], {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  return load(specifier);
}
