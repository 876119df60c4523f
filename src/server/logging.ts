import pino from 'pino';
import type { Logger } from '../util/logger.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * The gateway's log: one JSON object per line on standard output, or lines for people when that is a terminal.
 * `level` is the least severe level that is written.
 */
export function createLogger(level: LogLevel): Logger {
  const base = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: {
      err: pino.stdSerializers.err,
      error: pino.stdSerializers.err,
      cause: pino.stdSerializers.err,
    },
  };
  if (!process.stdout.isTTY) return pino({ ...base, formatters: { level: (label) => ({ level: label }) } });
  return pino({
    ...base,
    transport: {
      target: 'pino-pretty',
      options: {
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'component',
        messageFormat: '{if component}[{component}] {end}{msg}',
      },
    },
  });
}
