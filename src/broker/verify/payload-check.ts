import { access, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  CLEAN_SHUTDOWN,
  decodeMetaProperties,
  decodePartitionMetadata,
  META_PROPERTIES,
  PARTITION_METADATA,
} from '../../backend/log/checkpoint-files.ts';
import type { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import { partitionName } from '../../backend/payload/tiers/directories.ts';
import type { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import { surveyTiers, type TierSurvey } from '../../backend/payload/tiers/tier-survey.ts';
import type { Store } from '../../native/store.ts';
import { type FoundPartition, partitionsIn } from './found-partitions.ts';
import { checkPartition, type PayloadProblem } from './partition-check.ts';
import { StoreCopies } from './store-copies.ts';

export interface PayloadCheckOptions {
  readonly store: Store;
  /** Those of `log.dirs`. */
  readonly directories: readonly string[];
  /** The paths of each storage tier. */
  readonly tiers: readonly (readonly string[])[];
  /** Of the last tier, if that is S3. */
  readonly bucket?: Bucket | null;
  /** The stores of a gateway; null: it has none. */
  readonly openStores: ((owner: { clusterId: string; nodeId: number }) => Promise<PayloadStores>) | null;
  /** Only these topics; null: all. */
  readonly topics: ReadonlySet<string> | null;
  readonly readPayload: boolean;
  readonly repair: boolean;
  /** Called often; `payload`: bytes of extents so far. */
  readonly onProgress?: (progress: { partitions: number; payload: number; problems: number }) => void;
}

export interface PayloadReport {
  partitions: number;
  /** Live extents, and their bytes. */
  extents: number;
  payloadBytes: number;
  /** Directories that no gateway has closed: what it was writing may be among the problems. */
  unclean: string[];
  /** Why payload may be where nobody could look; null: all could be seen. */
  outage: string | null;
  /** The first ones; `moreProblems` counts the rest. */
  problems: PayloadProblem[];
  moreProblems: number;
}

const MAX_PROBLEMS = 10_000;

/**
 * Compares logs and payload of a gateway that does not run: every live reference must find its bytes, and every payload segment a
 * reference. Takes the directories' locks.
 * @throws Error for people, when a gateway has a directory, when one cannot be read, or when repairing would be unsafe
 */
export async function checkPayload(options: PayloadCheckOptions): Promise<PayloadReport> {
  const report: PayloadReport = {
    partitions: 0,
    extents: 0,
    payloadBytes: 0,
    unclean: [],
    outage: null,
    problems: [],
    moreProblems: 0,
  };
  const locks = [];
  let stores: PayloadStores | null = null;
  try {
    for (const directory of options.directories) {
      await access(directory);
      locks.push(options.store.lockDirectory(directory));
      if (!(await exists(join(directory, CLEAN_SHUTDOWN)))) report.unclean.push(directory);
    }
    if (options.repair && report.unclean.length > 0) throw new Error(uncleanText(report.unclean));
    const survey = await surveyOf(options);
    locks.push(...survey.locks);
    report.outage = survey.outage;
    const found = new Set<string>();
    const names = new Set<string>();
    stores = await openStores(options);
    const copies = stores && (await StoreCopies.survey(stores));
    report.outage ??= copies?.outage ?? null;
    for (const directory of options.directories)
      await checkDirectory(directory, { ...options, survey, names, copies }, report, found);
    reportForeign(survey, names, options, report);
    if (copies !== null && options.topics === null) await reportUnknown(copies, options, report);
    const unknown = [...(options.topics ?? [])].filter((topic) => !found.has(topic));
    if (unknown.length > 0)
      throw new Error(`there is no topic ${unknown.join(', ')} in ${options.directories.join(', ')}`);
    return report;
  } finally {
    await stores?.close();
    for (const lock of locks) lock.release();
  }
}

/** Why nothing is repaired in these directories, for people. */
export function uncleanText(directories: readonly string[]): string {
  return `${directories.join(', ')}: the gateway was not shut down there, and its next start recovers more than can be seen now; start and stop it once, then repair`;
}

/** What the tiers hold of these log directories. */
async function surveyOf({
  store,
  directories,
  tiers,
  bucket = null,
}: PayloadCheckOptions): Promise<TierSurvey> {
  const meta = await readFile(join(directories[0]!, META_PROPERTIES)).catch(() => null);
  if (meta === null) return { files: new Map(), outage: null, locks: [] };
  const { clusterId, nodeId } = decodeMetaProperties(meta);
  return surveyTiers({
    paths: tiers,
    bucket,
    logDirectories: directories,
    owner: { clusterId, nodeId },
    lockDirectory: (path) => store.lockDirectory(path),
  });
}

async function openStores({ openStores, directories }: PayloadCheckOptions): Promise<PayloadStores | null> {
  const meta = await readFile(join(directories[0]!, META_PROPERTIES)).catch(() => null);
  if (meta === null || openStores === null) return null;
  const { clusterId, nodeId } = decodeMetaProperties(meta);
  return openStores({ clusterId, nodeId });
}

/** Copies that no record names: the gateway removes them when it runs. */
async function reportUnknown(
  copies: StoreCopies,
  { repair, directories }: PayloadCheckOptions,
  report: PayloadReport,
): Promise<void> {
  for (const unknown of copies.unknown(await directoryIdsOf(directories))) {
    const { store, file, bytes, doubt } = unknown;
    const repaired = repair && doubt === null;
    if (repaired) await copies.remove(unknown);
    const [, topic, partition] = /^(.+)-(\d+)\./.exec(file)!;
    const detail = `${bytes} bytes at the store ${store} that no segment is recorded for`;
    report.problems.push({
      kind: 'orphan',
      topic: topic!,
      partition: Number(partition),
      file: `stores:${file}`,
      offset: null,
      detail: doubt === null ? detail : `${detail}; not to be removed, for ${doubt}`,
      repaired,
    });
  }
}

async function directoryIdsOf(directories: readonly string[]): Promise<string[]> {
  const metas = await Promise.all(directories.map((path) => readFile(join(path, META_PROPERTIES))));
  return metas.flatMap((meta) => decodeMetaProperties(meta).directoryId ?? []);
}

/** Payload in tiers whose partition is in no log directory; a start removes it when its topic is deleted. */
function reportForeign(
  { files }: TierSurvey,
  names: ReadonlySet<string>,
  { topics }: PayloadCheckOptions,
  report: PayloadReport,
): void {
  for (const [name, found] of files) {
    const [, topic, partition] = /^(.+)-(\d+)\./.exec(name)!;
    if (names.has(name) || (topics !== null && !topics.has(topic!))) continue;
    const bytes = found.reduce((sum, file) => sum + file.bytes, 0);
    report.problems.push({
      kind: 'orphan',
      topic: topic!,
      partition: Number(partition),
      file: dirname(found[0]!.path),
      offset: null,
      detail: `${bytes} bytes of a partition that is in none of log.dirs; the next start removes them if its topic is deleted`,
      repaired: false,
    });
  }
}

interface CheckDirectoryOptions extends PayloadCheckOptions {
  readonly survey: TierSurvey;
  readonly copies: StoreCopies | null;
  /** Filled with the partitions' names in tiers. */
  readonly names: Set<string>;
}

async function checkDirectory(
  directory: string,
  options: CheckDirectoryOptions,
  report: PayloadReport,
  found: Set<string>,
): Promise<void> {
  const { store, bucket = null, readPayload, repair, onProgress, survey, names, copies } = options;
  const progress = () =>
    onProgress?.({
      partitions: report.partitions,
      payload: report.payloadBytes,
      problems: report.problems.length + report.moreProblems,
    });
  for (const partition of await partitionsIn(directory)) {
    const topicId = await topicIdOf(partition);
    if (topicId === null) copies?.cannotName(partition.topic, partition.partition);
    const name = partitionName(partition.topic, partition.partition, topicId ?? '');
    names.add(name);
    const target = { ...partition, name, tierFiles: survey.files.get(name) ?? [], outage: survey.outage };
    if (options.topics !== null && !options.topics.has(target.topic)) continue;
    found.add(target.topic);
    await checkPartition(target, {
      store,
      bucket,
      copies,
      readPayload,
      repair,
      onProblem: (problem) => {
        if (report.problems.length < MAX_PROBLEMS) report.problems.push(problem);
        else report.moreProblems++;
      },
      onExtent: (bytes) => {
        report.extents++;
        report.payloadBytes += bytes;
        progress();
      },
    });
    report.partitions++;
    progress();
  }
}

/** Null when there is no partition.metadata. */
async function topicIdOf({ directory }: FoundPartition): Promise<string | null> {
  const metadata = await readFile(join(directory, PARTITION_METADATA)).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    },
  );
  return metadata === null ? null : decodePartitionMetadata(metadata);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
