import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { LOG_LEVELS, type LoggerLevels, type LogLevel, ROOT_LOGGER } from '../../util/logger.ts';
import { AlterOperation, type ConfigAlteration } from './alteration.ts';

/** Kafka's names of levels, in its order. */
const LEVEL_NAMES = LOG_LEVELS.map((level) => level.toUpperCase()).sort();

/** The levels of this broker's loggers (BROKER_LOGGER resources, KIP-412): they hold until the next start. */
export class BrokerLoggers {
  readonly #nodeId: number;
  readonly #loggers: LoggerLevels;

  constructor(nodeId: number, loggers: LoggerLevels) {
    this.#nodeId = nodeId;
    this.#loggers = loggers;
  }

  /** Every logger with its level, in Kafka's names. @throws ApiError for another broker's */
  describe(resourceName: string): { readonly name: string; readonly value: string }[] {
    if (resourceName === '') refuse('Broker id must not be empty');
    if (!isInteger(resourceName)) refuse(`Broker id must be an integer, but it is: ${resourceName}`);
    if (Number(resourceName) !== this.#nodeId)
      refuse(`Unexpected broker id, expected ${this.#nodeId} but received ${resourceName}`);
    return Array.from(this.#loggers.levels(), ([name, level]) => ({ name, value: level.toUpperCase() }));
  }

  /** Sets and unsets levels: all of them, or none. @throws ApiError with Kafka's code and message */
  alter(resourceName: string, alterations: readonly ConfigAlteration[], validateOnly: boolean): void {
    if (!isInteger(resourceName)) refuse(`Node id must be an integer, but it is: ${resourceName}`);
    if (Number(resourceName) !== this.#nodeId)
      refuse(`Unexpected node id. Expected ${this.#nodeId}, but received ${Number(resourceName)}`);
    const levels = alterations.map((alteration) => this.#levelOf(alteration));
    if (validateOnly) return;
    for (const [position, { name }] of alterations.entries()) this.#loggers.set(name, levels[position]!);
  }

  /** Null to unset it. */
  #levelOf({ name, operation, value }: ConfigAlteration): LogLevel | null {
    switch (operation) {
      case AlterOperation.SET: {
        this.#assertKnown(name);
        const level = LOG_LEVELS.find((each) => each.toUpperCase() === value);
        if (level !== undefined) return level;
        throw new ApiError(
          ErrorCode.INVALID_CONFIG,
          `Cannot set the log level of ${name} to ${value} as it is not a supported log level. Valid log levels are ${LEVEL_NAMES.join(', ')}`,
        );
      }
      case AlterOperation.DELETE:
        this.#assertKnown(name);
        if (name === ROOT_LOGGER)
          refuse(`Removing the log level of the ${ROOT_LOGGER} logger is not allowed`);
        return null;
      case AlterOperation.APPEND:
        return refuse('APPEND operation is not allowed for the BROKER_LOGGER resource');
      case AlterOperation.SUBTRACT:
        return refuse('SUBTRACT operation is not allowed for the BROKER_LOGGER resource');
      default:
        return refuse(`Unknown operation type ${operation} is not allowed for the BROKER_LOGGER resource`);
    }
  }

  #assertKnown(name: string): void {
    if (!this.#loggers.levels().has(name))
      throw new ApiError(ErrorCode.INVALID_CONFIG, `Logger ${name} does not exist!`);
  }
}

/** For a broker whose log cannot be altered. */
export const NO_LOGGERS: LoggerLevels = { levels: () => new Map(), set() {} };

function isInteger(text: string): boolean {
  return /^[+-]?\d+$/.test(text);
}

function refuse(message: string): never {
  throw new ApiError(ErrorCode.INVALID_REQUEST, message);
}
