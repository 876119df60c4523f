import { groupKeyDefinitions, type KafabricConfig } from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';

const LIMITED = ['heartbeat.interval.ms', 'session.timeout.ms', 'assignment.interval.ms'] as const;
const defaults = new Map(groupKeyDefinitions.map(({ name, default: text }) => [name, text]));

/**
 * Checks the values of a group together, and against the broker's limits. @throws ApiError INVALID_CONFIG with Kafka's message
 */
export function validateGroupConfigs(values: ReadonlyMap<string, string>, config: KafabricConfig): void {
  const numberOf = (name: string) => Number(values.get(name) ?? defaults.get(name));
  for (const key of LIMITED) {
    const name = `consumer.${key}`;
    // As Kafka: a default outside the limits is refused too, but that of the interval.
    if (key === 'assignment.interval.ms' && !values.has(name)) continue;
    const least = `group.consumer.min.${key}` as const;
    const most = `group.consumer.max.${key}` as const;
    if (numberOf(name) < config.get(least)) refuse(`${name} must be greater than or equal to ${least}`);
    if (numberOf(name) > config.get(most)) refuse(`${name} must be less than or equal to ${most}`);
  }
  for (const kind of ['consumer', 'share', 'streams']) {
    const session = `${kind}.session.timeout.ms`;
    const heartbeat = `${kind}.heartbeat.interval.ms`;
    if (numberOf(session) <= numberOf(heartbeat)) refuse(`${session} must be greater than ${heartbeat}`);
  }
}

function refuse(message: string): never {
  throw new ApiError(ErrorCode.INVALID_CONFIG, message);
}
