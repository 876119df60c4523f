import { nativeCommand, producerProperties } from '../generators/native.ts';
import { parseBytes, parsePairs, parseWhole } from '../options.ts';

export interface RawClientOptions {
  type: string;
  bootstrap: string;
  numRecords: string;
  hosts?: string;
  threads: string;
  topic: string;
  partitions: string;
  recordSize: string;
  property?: string[];
  ssh: string;
}

export interface ClientPlan {
  type: 'producer' | 'consumer';
  bootstrap: string;
  topic: string;
  partitions: number;
  /** Null: this machine, without ssh. */
  hosts: string[] | null;
  threads: number;
  records: number;
  size: number;
  properties: Record<string, string>;
  ssh: string[];
}

export function parsePlan(raw: RawClientOptions): ClientPlan {
  if (raw.type !== 'producer' && raw.type !== 'consumer')
    throw new Error(`--type ${raw.type}: there are producer and consumer`);
  const hosts = raw.hosts?.split(/[\s,]+/).filter((host) => host !== '') ?? null;
  if (hosts?.length === 0) throw new Error('--hosts is empty');
  const option = hosts?.find((host) => host.startsWith('-'));
  if (option) throw new Error(`${option} is not a host`);
  const records = parseWhole('num-records', raw.numRecords);
  const partitions = parseWhole('partitions', raw.partitions);
  const least = hosts?.length ?? 1;
  if (records < least) throw new Error(`--num-records ${records}: ${least} hosts need one each`);
  if (raw.type === 'consumer' && partitions < least)
    throw new Error(`--partitions ${partitions}: ${least} hosts need one each`);
  return {
    type: raw.type,
    bootstrap: raw.bootstrap,
    topic: raw.topic,
    partitions,
    hosts,
    threads: parseWhole('threads', raw.threads),
    records,
    size: parseBytes(raw.recordSize),
    properties: parsePairs('property', raw.property ?? []),
    ssh: raw.ssh.split(/\s+/),
  };
}

/** Splits evenly; the first ones get what remains. */
export function shares(total: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, i) => Math.floor(total / parts) + (i < total % parts ? 1 : 0));
}

/** What each host runs. Consumers on several hosts divide the partitions, since each reads its own. */
export function commandFor(plan: ClientPlan, index: number, program: string): string[] {
  const count = plan.hosts?.length ?? 1;
  const records = shares(plan.records, count)[index]!;
  const { topic, partitions, threads: clients } = plan;
  if (plan.type === 'producer') {
    const properties = { ...producerProperties('1'), ...plan.properties };
    return nativeCommand(program, 'produce', plan.bootstrap, {
      topic,
      clients,
      records,
      size: plan.size,
      properties,
    });
  }
  const options = { topic, partitions, clients, records, part: index, parts: count, idle: 2 };
  return nativeCommand(program, 'consume', plan.bootstrap, { ...options, properties: plan.properties });
}
