import { parseMatch } from '../../config/client-match.ts';
import { clientMetricsDefinitions, groupKeyDefinitions, type KafabricConfig } from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { DATA_SELECTOR_CONFIG, dataSelectorTextProblem } from '../../protocol/forms/data-selector.ts';

const INTERVAL_MIN_MS = 100;
const INTERVAL_MAX_MS = 3_600_000;
const clientMetricsKeys = new Set(clientMetricsDefinitions.map(({ name }) => name));

/** Checks a subscription to clients' metrics (KIP-714). @throws ApiError with Kafka's code and message */
export function checkClientMetrics(values: ReadonlyMap<string, string>): void {
  for (const name of values.keys())
    if (!clientMetricsKeys.has(name))
      throw new ApiError(ErrorCode.INVALID_REQUEST, `Unknown client metrics configuration: ${name}`);
  const interval = values.get('interval.ms');
  if (interval !== undefined && /^-?\d+$/.test(interval.trim())) {
    const ms = Number(interval);
    if (ms < INTERVAL_MIN_MS || ms > INTERVAL_MAX_MS)
      throw new ApiError(
        ErrorCode.INVALID_REQUEST,
        `Invalid value ${ms} for interval.ms, interval must be between 100 and 3600000 (1 hour)`,
      );
  }
  const match = values.get('match');
  if (match === undefined) return;
  const result = parseMatch(match);
  if ('illegal' in result)
    throw new ApiError(ErrorCode.INVALID_CONFIG, `Illegal client matching pattern: ${result.illegal}`);
}

/** The keys of groups that Kafka limits by broker keys, with the defaults of these, which hold where this broker has no such key. */
const LIMITS: readonly (readonly [key: string, min: number, max: number])[] = [
  ['consumer.assignment.interval.ms', 0, 15_000],
  ['consumer.heartbeat.interval.ms', 5_000, 15_000],
  ['consumer.session.timeout.ms', 45_000, 60_000],
  ['share.heartbeat.interval.ms', 5_000, 15_000],
  ['share.session.timeout.ms', 45_000, 60_000],
  ['share.record.lock.duration.ms', 15_000, 60_000],
  ['share.delivery.count.limit', 2, 10],
  ['share.partition.max.record.locks', 100, 4_000],
  ['share.assignment.interval.ms', 0, 15_000],
  ['streams.assignment.interval.ms', 0, 15_000],
  ['streams.heartbeat.interval.ms', 5_000, 15_000],
  ['streams.session.timeout.ms', 45_000, 60_000],
  ['streams.num.standby.replicas', 0, 2],
];
const defaults = new Map(groupKeyDefinitions.map(({ name, default: text }) => [name, Number(text)]));
const DURATION = /^by_duration:P(?=\d|T\d)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d{1,9})?S)?)?$/i;

/**
 * Checks a group's values against the broker's limits and each other; what it does not have is the broker's.
 * @throws ApiError INVALID_CONFIG with Kafka's message
 */
export function checkGroup(values: ReadonlyMap<string, string>, config: KafabricConfig): void {
  const refuse = (message: string): never => {
    throw new ApiError(ErrorCode.INVALID_CONFIG, message);
  };
  const reset = values.get('share.auto.offset.reset');
  if (reset !== undefined && reset !== 'earliest' && reset !== 'latest' && !DURATION.test(reset)) {
    const key = 'share.auto.offset.reset';
    refuse(
      `Invalid value ${reset} for configuration ${key}: Invalid value \`${reset}\` for configuration ${key}. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.`,
    );
  }
  const selector = values.get(DATA_SELECTOR_CONFIG) ?? '';
  const problem = dataSelectorTextProblem(selector);
  if (problem !== null)
    refuse(`Invalid value ${selector} for configuration ${DATA_SELECTOR_CONFIG}: ${problem}`);
  const brokerNumber = (key: string, fallback: number) => Number(config.entry(key)?.text ?? fallback);
  const numberOf = (key: string) => {
    const text = values.get(key);
    return text === undefined ? brokerNumber(`group.${key}`, defaults.get(key)!) : Number(text);
  };
  for (const [key, min, max] of LIMITS) {
    if (!values.has(key)) continue;
    const value = numberOf(key);
    const [least, most] = [limitKey(key, 'min'), limitKey(key, 'max')];
    if (value < brokerNumber(least, min)) refuse(`${key} must be greater than or equal to ${least}`);
    if (value > brokerNumber(most, max)) refuse(`${key} must be less than or equal to ${most}`);
  }
  for (const protocol of ['consumer', 'share', 'streams']) {
    const [session, heartbeat] = [`${protocol}.session.timeout.ms`, `${protocol}.heartbeat.interval.ms`];
    if (numberOf(session) <= numberOf(heartbeat)) refuse(`${session} must be greater than ${heartbeat}`);
  }
}

/** Kafka's broker key for a limit: `group.consumer.min.session.timeout.ms`, but `group.streams.max.standby.replicas`. */
function limitKey(key: string, limit: 'min' | 'max'): string {
  const [protocol, ...rest] = key.split('.');
  return `group.${protocol}.${limit}.${rest.join('.').replace(/^num\.standby/, 'standby')}`;
}
