import pino from 'pino';
import {
  type LeveledLogger,
  LOG_LEVELS,
  type Logger,
  type LoggerLevels,
  type LogLevel,
  ROOT_LOGGER,
} from '../util/logger.ts';

export type { LogLevel } from '../util/logger.ts';

/** Characters that wait to be written. */
const MAX_WAITING = 16 << 20;

/** Standard output, or the error stream. */
type Stream = Pick<typeof process.stdout | typeof process.stderr, 'fd' | 'isTTY'>;

/**
 * The gateway's log: one JSON object per line on standard output, or lines for people when that is a terminal.
 * `level` is the least severe level that is written, until `levels` says otherwise. Commands whose output is a report give the error stream.
 */
export function createLogger(level: LogLevel, stream: Stream = process.stdout): LeveledLogger {
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
  if (stream.isTTY) return leveled(pino(base, terminal(stream)));
  return leveled(pino({ ...base, formatters: { level: (label) => ({ level: label }) } }, linesTo(stream)));
}

/** Lines for people. Of a terminal that was closed nothing is left but an error for each line: they are left out. */
function terminal({ fd }: Stream): pino.DestinationStream {
  const output = pino.transport({
    target: 'pino-pretty',
    options: {
      destination: fd,
      translateTime: 'SYS:HH:MM:ss.l',
      ignore: 'component',
      messageFormat: '{if component}[{component}] {end}{msg}',
    },
  });
  output.on('error', () => {});
  return output;
}

/** Where lines go. That they cannot be written, to a disk that is full perhaps, ends nothing: they wait for the next ones, or are left out. */
function linesTo({ fd }: Stream): pino.DestinationStream {
  const output = pino.destination({ dest: fd, sync: false, maxLength: MAX_WAITING });
  output.on('error', () => {
    // It would try for ever, and the process could not end.
    output.flushSync = () => {};
  });
  return output;
}

/** A logger of pino's whose children have names and levels: those without a level of their own follow the root. */
export function leveled(root: pino.Logger): LeveledLogger {
  const levels = new PinoLevels(root);
  return {
    ...faceOf(root),
    child: ({ component }) => levels.named(component),
    levels,
  };
}

class PinoLevels implements LoggerLevels {
  readonly #root: pino.Logger;
  readonly #named = new Map<string, { readonly logger: pino.Logger; own: LogLevel | null }>();

  constructor(root: pino.Logger) {
    this.#root = root;
  }

  named(component: string): Logger {
    let entry = this.#named.get(component);
    if (entry === undefined) {
      entry = { logger: this.#root.child({ component }), own: null };
      this.#named.set(component, entry);
    }
    return { ...faceOf(entry.logger), child: (bindings) => this.named(bindings.component) };
  }

  levels(): ReadonlyMap<string, LogLevel> {
    const levels = new Map([[ROOT_LOGGER, levelOf(this.#root)]]);
    for (const [name, { logger }] of this.#named) levels.set(name, levelOf(logger));
    return levels;
  }

  set(name: string, level: LogLevel | null): void {
    if (name === ROOT_LOGGER) {
      if (level === null) return;
      this.#root.level = level;
      for (const { logger, own } of this.#named.values()) if (own === null) logger.level = level;
      return;
    }
    const entry = this.#named.get(name);
    if (entry === undefined) return;
    entry.own = level;
    entry.logger.level = level ?? levelOf(this.#root);
  }
}

function faceOf(logger: pino.Logger): Omit<Logger, 'child'> {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}

function levelOf({ level }: pino.Logger): LogLevel {
  return LOG_LEVELS.find((each) => each === level) ?? 'info';
}
