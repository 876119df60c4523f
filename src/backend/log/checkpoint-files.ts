import { randomBytes } from 'node:crypto';
import type { EpochEntry } from './leader-epochs.ts';

/** The text files that Kafka keeps beside its segments. Parsers throw an Error that says what is wrong. */

export const RECOVERY_POINT_CHECKPOINT = 'recovery-point-offset-checkpoint';
export const LOG_START_OFFSET_CHECKPOINT = 'log-start-offset-checkpoint';
export const HIGH_WATERMARK_CHECKPOINT = 'replication-offset-checkpoint';
export const CLEANER_OFFSET_CHECKPOINT = 'cleaner-offset-checkpoint';
export const LEADER_EPOCH_CHECKPOINT = 'leader-epoch-checkpoint';
export const PARTITION_METADATA = 'partition.metadata';
export const META_PROPERTIES = 'meta.properties';
export const CLEAN_SHUTDOWN = '.kafka_cleanshutdown';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Offsets by partition, in the order of the file. */
export type OffsetCheckpoint = ReadonlyMap<string, bigint>;

/** Names a partition in a checkpoint's map. */
export function partitionKey(topic: string, partition: number): string {
  return `${topic} ${partition}`;
}

export function encodeOffsetCheckpoint(offsets: OffsetCheckpoint): Uint8Array {
  return encodeLines([...offsets].map(([key, offset]) => `${key} ${offset}`));
}

export function decodeOffsetCheckpoint(bytes: Uint8Array): Map<string, bigint> {
  const offsets = new Map<string, bigint>();
  for (const line of decodeLines(bytes)) {
    const match = /^(\S+ \d+) (-?\d+)$/.exec(line);
    if (!match) throw new Error(`malformed checkpoint line "${line}"`);
    offsets.set(match[1]!, BigInt(match[2]!));
  }
  return offsets;
}

export function encodeLeaderEpochs(entries: readonly EpochEntry[]): Uint8Array {
  return encodeLines(entries.map((entry) => `${entry.epoch} ${entry.startOffset}`));
}

export function decodeLeaderEpochs(bytes: Uint8Array): EpochEntry[] {
  return decodeLines(bytes).map((line) => {
    const match = /^(\d+) (\d+)$/.exec(line);
    if (!match) throw new Error(`malformed checkpoint line "${line}"`);
    return { epoch: Number(match[1]), startOffset: BigInt(match[2]!) };
  });
}

/** Version 0, the number of lines, the lines. */
function encodeLines(lines: readonly string[]): Uint8Array {
  return encoder.encode(`0\n${lines.length}\n${lines.map((line) => `${line}\n`).join('')}`);
}

function decodeLines(bytes: Uint8Array): string[] {
  const [version, count, ...lines] = decoder.decode(bytes).trimEnd().split('\n');
  if (version !== '0') throw new Error(`unknown checkpoint version "${version}"`);
  if (Number(count) !== lines.length)
    throw new Error(`${lines.length} checkpoint lines where ${count} are due`);
  return lines;
}

export function encodePartitionMetadata(topicId: string): Uint8Array {
  return encoder.encode(`version: 0\ntopic_id: ${topicId}`);
}

/** The topic id, in Kafka's text form. */
export function decodePartitionMetadata(bytes: Uint8Array): string {
  const match = /^version: 0\r?\ntopic_id: ([\w-]{22})\s*$/.exec(decoder.decode(bytes));
  if (!match) throw new Error('malformed partition.metadata');
  return match[1]!;
}

/** Which cluster, node and directory a data directory belongs to. */
export interface MetaProperties {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly directoryId: string;
}

export function encodeMetaProperties(meta: MetaProperties): Uint8Array {
  const { clusterId, nodeId, directoryId } = meta;
  return encoder.encode(
    `node.id=${nodeId}\ndirectory.id=${directoryId}\nversion=1\ncluster.id=${clusterId}\n`,
  );
}

/** `directoryId` is null in directories from before KIP-858. */
export function decodeMetaProperties(
  bytes: Uint8Array,
): Omit<MetaProperties, 'directoryId'> & { directoryId: string | null } {
  const values = new Map<string, string>();
  for (const line of decoder.decode(bytes).split(/\r?\n/)) {
    const match = /^\s*([^#!=\s][^=\s]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match) values.set(match[1]!, match[2]!.replaceAll('\\', ''));
  }
  const clusterId = values.get('cluster.id');
  const nodeId = Number(values.get('node.id') ?? values.get('broker.id') ?? NaN);
  if (values.get('version') !== '1' && values.get('version') !== '0') {
    throw new Error('meta.properties is not of version 0 or 1');
  }
  if (!clusterId || !Number.isInteger(nodeId)) throw new Error('meta.properties lacks cluster.id or node.id');
  return { clusterId, nodeId, directoryId: values.get('directory.id') ?? null };
}

/** The marker's content; the epoch of a broker that registers with no controller is -1. */
export function encodeCleanShutdown(): Uint8Array {
  return encoder.encode('{"version":0,"brokerEpoch":-1}');
}

/** A random id in Kafka's text form that does not start with a dash, which command lines would take for an option. */
export function randomUuid(): string {
  for (;;) {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const text = bytes.toString('base64url');
    if (!text.startsWith('-')) return text;
  }
}
