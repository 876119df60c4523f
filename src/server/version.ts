import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { installation } from '../util/installation.ts';

/** The version in package.json. */
export const version: string = JSON.parse(readFileSync(join(installation, 'package.json'), 'utf8')).version;
