import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { type ConfigInput, ConfigurationError, type KafabricConfig, loadConfig } from '../../config/index.ts';
import { BOOTSTRAP_VARIABLE } from './target.ts';

/** The options that every command which needs a configuration has. */
export interface SettingOptions {
  config?: string;
  override: string[];
}

/** For an option that may be given several times. */
export function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

const defaultFile = 'kafabric.properties';

/**
 * The configuration that a command line asks for.
 * @throws ConfigurationError when the file cannot be read or a setting is wrong
 */
export function settingsFrom({ config, override }: SettingOptions): KafabricConfig {
  const path = config ?? (existsSync(defaultFile) ? defaultFile : null);
  const input: ConfigInput = {
    environment: process.env,
    overrides: override,
    reservedVariables: ['KAFABRIC_LOG_LEVEL', BOOTSTRAP_VARIABLE],
    host: { isRoot: process.getuid?.() === 0, homeDirectory: homedir() },
  };
  return loadConfig(path === null ? input : { ...input, file: { path, text: readSettings(path) } });
}

function readSettings(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError([
      { key: '--config', value: path, origin: null, message: `cannot be read: ${(error as Error).message}` },
    ]);
  }
}
