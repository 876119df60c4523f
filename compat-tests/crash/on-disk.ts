import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Attribute, BATCH_HEADER_SIZE, BatchHeader } from '../../src/protocol/records/batch-header.ts';
import { decodePayloadReference } from '../../src/protocol/records/payload-reference.ts';
import { readRecords } from '../../src/protocol/records/reader.ts';
import { runCommand } from '../harness/child.ts';
import { gatewayProgram, javaCommand } from '../harness/paths.ts';

/** A file of a partition, by its ending, in the order of the names. */
export function filesOf(partitionDir: string, ending: string): string[] {
  return readdirSync(partitionDir)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(partitionDir, name));
}

/** The directories of a topic's partitions. */
export function partitionDirs(dataDir: string, topic: string): string[] {
  return readdirSync(dataDir)
    .filter((name) => name.slice(0, name.lastIndexOf('-')) === topic)
    .sort()
    .map((name) => join(dataDir, name));
}

export interface StoredBatch {
  file: string;
  position: number;
  size: number;
  baseOffset: number;
  /** -1: it is of no idempotent producer. */
  producerId: bigint;
  /** Where the payload is, for a reference batch. */
  extent: { segment: bigint; position: number; length: number } | null;
}

/** The batches of a log file; stops at the zeros of preallocated space. */
function* batchesOf(file: string): Generator<StoredBatch> {
  const bytes = readFileSync(file);
  for (let position = 0; position + BATCH_HEADER_SIZE <= bytes.length; ) {
    const header = new BatchHeader(bytes, position);
    const size = header.sizeInBytes;
    if (header.batchLength <= 0 || position + size > bytes.length) return;
    let extent: StoredBatch['extent'] = null;
    if ((header.attributes & Attribute.reference) !== 0) {
      const records = readRecords(bytes.subarray(position, position + size));
      const value = records.find((record) => record.value !== null)?.value;
      const reference = value ? decodePayloadReference(value) : null;
      if (reference) {
        const { segmentId, extentPosition, extentLength } = reference;
        extent = { segment: segmentId, position: extentPosition, length: extentLength };
      }
    }
    const { producerId } = header;
    yield { file, position, size, baseOffset: Number(header.baseOffset), producerId, extent };
    position += size;
  }
}

export function storedBatches(partitionDir: string): StoredBatch[] {
  return filesOf(partitionDir, '.log').flatMap((file) => [...batchesOf(file)]);
}

/** Payload that nothing in the log refers to: whole files, and bytes behind the last extent of a file. */
export function orphans(partitionDir: string): string[] {
  const ends = new Map<string, number>();
  for (const { extent } of storedBatches(partitionDir)) {
    if (extent === null) continue;
    const name = `${String(extent.segment).padStart(20, '0')}.payload`;
    ends.set(name, Math.max(ends.get(name) ?? 0, extent.position + extent.length));
  }
  const dir = join(partitionDir, 'payload');
  const files = existsSync(dir) ? filesOf(dir, '.payload') : [];
  const found: string[] = [];
  for (const file of files) {
    const end = ends.get(file.slice(dir.length + 1));
    const size = statSync(file).size;
    if (end === undefined && size > 0) found.push(`${file}: ${size} bytes that nothing refers to`);
    else if (end !== undefined && size > end)
      found.push(`${file}: ${size - end} bytes after the last extent`);
  }
  return found;
}

/** `kafabric payload verify` on the directory of a gateway that was stopped; rejects with its report when something is wrong. */
export async function verifyPayload(dataDir: string): Promise<void> {
  const verify = ['payload', 'verify', '--override', `log.dirs=${dataDir}`];
  await runCommand([process.execPath, gatewayProgram, ...verify], 120_000);
}

/** Has Kafka's DumpLogSegments read logs and indexes; rejects when it complains. */
export async function dumpLogSegments(directories: string[]): Promise<void> {
  const logs = directories.flatMap((dir) => filesOf(dir, '.log'));
  const indexes = directories.flatMap((dir) => [...filesOf(dir, '.index'), ...filesOf(dir, '.timeindex')]);
  const dump = [...javaCommand('org.apache.kafka.tools.DumpLogSegments', 256), '--files'];
  const outputs = [
    await runCommand([...dump, logs.join(',')], 120_000),
    await runCommand([...dump, indexes.join(','), '--verify-index-only'], 120_000),
    await runCommand([...dump, indexes.join(','), '--index-sanity-check'], 120_000),
  ];
  const complaint =
    /.*(Mismatches|mismatch|Non-consecutive|out of order|isvalid: false|Found \d+ invalid|Exception).*/;
  for (const output of outputs) {
    const found = output.match(complaint);
    if (found)
      throw new Error(
        `DumpLogSegments: ${output.slice(Math.max(0, found.index! - 300), found.index! + 800)}`,
      );
  }
}

/** What Kafka's DumpLogSegments prints of transactions: aborted ones, from their indexes, and those of __transaction_state. */
export async function dumpTransactions(
  directories: string[],
  stateDirectories: string[],
): Promise<{ aborted: string; states: string }> {
  const dump = [...javaCommand('org.apache.kafka.tools.DumpLogSegments', 256), '--files'];
  const indexes = directories.flatMap((dir) => filesOf(dir, '.txnindex')).join(',');
  const logs = stateDirectories.flatMap((dir) => filesOf(dir, '.log')).join(',');
  return {
    aborted: await runCommand([...dump, indexes], 120_000),
    states: await runCommand([...dump, logs, '--transaction-log-decoder'], 120_000),
  };
}
