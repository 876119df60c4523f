// A gateway of which a part cannot be closed, as when a flush fails. The directory is the first argument.
import { writeSync } from 'node:fs';
import { EmbeddedBroker } from '../broker/embedded-broker.ts';
import { loadConfig } from '../config/index.ts';
import { Gateway } from './gateway.ts';
import { createLogger } from './logging.ts';

const { close } = EmbeddedBroker.prototype;
EmbeddedBroker.prototype.close = async function (this: EmbeddedBroker) {
  await close.call(this);
  throw new Error('a flush failed');
};

const overrides = [
  'listeners=PLAINTEXT://127.0.0.1:0',
  'metrics.listener=http://127.0.0.1:0',
  `log.dirs=${process.argv[2]}`,
  'arena.bytes=268435456',
];
const host = { isRoot: false, homeDirectory: process.argv[2]! };
const config = loadConfig({ environment: {}, overrides, host });
const gateway = await Gateway.start({ config, log: createLogger('error') });
await gateway.stop().catch((error: Error) => writeSync(1, `${error.message}\n`));
