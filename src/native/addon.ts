import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { installation } from '../util/installation.ts';

/** Loads build/kafabric.node; this module is the only one that does. The result is the raw, untyped binding. */
function loadAddon(): unknown {
  const path = join(installation, 'build/kafabric.node');
  if (!existsSync(path)) {
    throw new Error(`${path} is missing: build it with "npm run build:native"`);
  }
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${path} cannot be loaded (${reason}): rebuild it with "npm run build:native"`, {
      cause,
    });
  }
}

const addon = loadAddon();

/** The addon's exports, typed by the part that uses them: `const native = binding<StoreBinding>()`. */
export function binding<T>(): T {
  return addon as T;
}
