import { describeConfigsRequest } from '../protocol/generated/describe-configs-request.ts';
import {
  type DescribeConfigsResourceResult,
  describeConfigsResponse,
} from '../protocol/generated/describe-configs-response.ts';
import { incrementalAlterConfigsRequest } from '../protocol/generated/incremental-alter-configs-request.ts';
import { incrementalAlterConfigsResponse } from '../protocol/generated/incremental-alter-configs-response.ts';
import type { Cluster } from './cluster.ts';
import { brokerError, DirectError } from './errors.ts';

/** Kafka's numbers. */
const RESOURCE_TYPES = { topic: 2, group: 32 } as const;
const DEFAULT_SOURCE = 5;
const OPERATIONS = { set: 0, delete: 1 } as const;

/** A topic or a group that has configs. */
export interface ConfigOwner {
  readonly type: keyof typeof RESOURCE_TYPES;
  readonly name: string;
}

export type Configs = Map<string, string | null>;

/** The configs of a topic or a group, which need not exist. @param keys only these; default all */
export async function describeConfigs(
  cluster: Cluster,
  owner: ConfigOwner,
  keys: readonly string[] | null = null,
): Promise<Configs> {
  return valuesOf(await readConfigs(cluster, owner, keys));
}

/** Those of its configs that somebody has set, for it or for all. */
export async function describeSetConfigs(cluster: Cluster, owner: ConfigOwner): Promise<Configs> {
  const all = await readConfigs(cluster, owner, null);
  return valuesOf(all.filter(({ configSource }) => configSource !== DEFAULT_SOURCE));
}

function valuesOf(configs: readonly DescribeConfigsResourceResult[]): Configs {
  return new Map(configs.map(({ name, value }) => [name, value]));
}

async function readConfigs(
  cluster: Cluster,
  { type, name }: ConfigOwner,
  keys: readonly string[] | null,
): Promise<readonly DescribeConfigsResourceResult[]> {
  const doing = `read the configs of ${type} ${name}`;
  const connection = await cluster.connection(-1, 'control');
  const configurationKeys = keys === null ? null : [...keys];
  const { results } = await connection.call(
    describeConfigsRequest,
    describeConfigsResponse,
    { resources: [{ resourceType: RESOURCE_TYPES[type], resourceName: name, configurationKeys }] },
    { version: 4, doing },
  );
  const [result] = results;
  if (result === undefined) throw new DirectError('BROKER', 'no answer', { doing });
  if (result.errorCode !== 0) throw brokerError(result.errorCode, result.errorMessage, doing);
  return result.configs;
}

/** @param values null gives a config its default again */
export async function alterConfigs(
  cluster: Cluster,
  { type, name }: ConfigOwner,
  values: Readonly<Record<string, string | null>>,
  doing = `alter the configs of ${type} ${name}`,
): Promise<void> {
  const connection = await cluster.connection(-1, 'control');
  const configs = Object.entries(values).map(([key, value]) => ({
    name: key,
    value,
    configOperation: value === null ? OPERATIONS.delete : OPERATIONS.set,
  }));
  const { responses } = await connection.call(
    incrementalAlterConfigsRequest,
    incrementalAlterConfigsResponse,
    { resources: [{ resourceType: RESOURCE_TYPES[type], resourceName: name, configs }], validateOnly: false },
    { version: 1, doing },
  );
  for (const { errorCode, errorMessage } of responses)
    if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
}
