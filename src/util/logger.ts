/** From the least to the most severe. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the logger without a name is called. */
export const ROOT_LOGGER = 'root';

/**
 * Structured logging as the lower layers see it; the server gives them a pino logger.
 * The first argument holds the fields of the line, the second its message.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** The logger of a part: its lines name it, and it may have a level of its own. */
  child(bindings: { readonly component: string }): Logger;
}

/** The levels of the loggers by their names, which may change at run time. */
export interface LoggerLevels {
  /** The level that holds for each logger. */
  levels(): ReadonlyMap<string, LogLevel>;
  /** Gives a logger a level; null: that of the root, from then on. Nothing happens to one that is not there. */
  set(name: string, level: LogLevel | null): void;
}

export interface LeveledLogger extends Logger {
  readonly levels: LoggerLevels;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
