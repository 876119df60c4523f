import { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import type { PayloadProblem } from '../../broker/verify/partition-check.ts';
import {
  checkPayload,
  type PayloadCheckOptions,
  type PayloadReport,
  uncleanText,
} from '../../broker/verify/payload-check.ts';
import { type RemovedBatches, removeLost } from '../../broker/verify/remove-lost.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { configureArena } from '../../native/arena.ts';
import { Store } from '../../native/store.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { fabricSettings } from '../fabric-settings.ts';
import { createLogger } from '../logging.ts';
import { arenaBytes } from '../memory.ts';
import { storesSecurity } from '../store-settings.ts';

export interface VerifyOptions {
  /** None: all. */
  topic: string[];
  repair: boolean;
  removeLost: boolean;
  /** False: only sizes and lists are looked at. */
  read: boolean;
  json: boolean;
}

const progressMs = 2000;

/** `kafabric payload verify`; returns the exit status: 0 when everything was looked at, and is in order or was repaired, 1 otherwise. */
export async function verifyCommand(config: KafabricConfig, options: VerifyOptions): Promise<number> {
  // An extent is read as one piece.
  configureArena(arenaBytes(config));
  const report = await check(config, options);
  const removed = options.removeLost ? await removeLostOf(config, report, options.json) : [];
  const text = options.json
    ? `${JSON.stringify({ ...report, removed }, null, 2)}\n`
    : textReport(report, removed, options);
  process.stdout.write(text);
  const isRepaired = report.moreProblems === 0 && report.problems.every(({ repaired }) => repaired);
  return isRepaired && report.outage === null ? 0 : 1;
}

async function check(config: KafabricConfig, options: VerifyOptions): Promise<PayloadReport> {
  const store = new Store({ threads: 2, direct: config.get('log.direct.io.enable') });
  const { s3 } = config.resolved;
  let bucket: Bucket | null = null;
  try {
    bucket = s3 === null ? null : await Bucket.open({ config: s3, files: store, logger: silentLogger });
    return await checkPayload({
      store,
      directories: config.resolved.logDirs,
      tiers: config.resolved.tiers.map(({ paths }) => paths.map(({ path }) => path)),
      bucket,
      openStores: storesOf(config),
      topics: options.topic.length === 0 ? null : new Set(options.topic),
      readPayload: options.read,
      repair: options.repair,
      onProgress: progressLine(),
    });
  } finally {
    bucket?.close();
    await store.shutdown();
  }
}

const isLost = ({ kind }: PayloadProblem) => kind === 'missing' || kind === 'damaged';

/** Takes what the report says to be lost out of the logs, and notes it there. */
async function removeLostOf(
  config: KafabricConfig,
  report: PayloadReport,
  json: boolean,
): Promise<RemovedBatches[]> {
  const lost = report.problems.filter(isLost);
  if (lost.length === 0) return [];
  if (report.unclean.length > 0) throw new Error(uncleanText(report.unclean));
  const nameOf = (topic: string, partition: number) => `${topic}-${partition}`;
  const names = new Set(lost.map(({ topic, partition }) => nameOf(topic, partition)));
  const logger = createLogger(json ? 'error' : 'warn', process.stderr);
  const removed = await removeLost({
    config,
    clock: systemClock,
    logger,
    storeAccess: { fabric: fabricSettings(config), ...storesSecurity(config, logger) },
    concerns: (topic, partition) => names.has(nameOf(topic, partition)),
  });
  for (const problem of lost) problem.repaired = true;
  return removed;
}

/** The stores of the gateway, asked in its name; null without. */
function storesOf(config: KafabricConfig): PayloadCheckOptions['openStores'] {
  const stores = config.get('payload.stores');
  if (stores.length === 0) return null;
  return (owner) =>
    PayloadStores.open({
      stores,
      ...storesSecurity(config, silentLogger),
      owner,
      zone: '',
      fabric: fabricSettings(config),
      requestTimeoutMs: config.get('payload.stores.request.timeout.ms'),
      lostAfterMs: config.get('payload.stores.lost.after.ms'),
      orphanGraceMs: 0,
      givenUp: [],
      repairBytesPerSecond: () => -1,
      scrubBytesPerSecond: () => 0,
      clock: systemClock,
      logger: silentLogger,
    });
}

/** A line on the error stream every few seconds. */
function progressLine(): (progress: { partitions: number; payload: number; problems: number }) => void {
  let shownAt = Date.now();
  return ({ partitions, payload, problems }) => {
    if (Date.now() - shownAt < progressMs) return;
    shownAt = Date.now();
    process.stderr.write(`${partitions} partitions, ${gigabytes(payload)} verified, ${problems} problems\n`);
  };
}

function textReport(
  report: PayloadReport,
  removed: readonly RemovedBatches[],
  { read, repair }: VerifyOptions,
): string {
  const { problems, moreProblems, unclean } = report;
  const lines = problems.map(problemLine);
  if (moreProblems > 0) lines.push(`and ${moreProblems} more problems`);
  for (const { topic, partition, batches, bytes } of removed)
    lines.push(
      `removed: ${topic}-${partition}: ${batches} batches, ${gigabytes(bytes)}; the log goes on without them`,
    );
  for (const directory of unclean)
    lines.push(
      `${directory} was not closed by a gateway: what it was writing may be listed; its next start recovers it`,
    );
  if (report.outage !== null) lines.push(`not all payload could be looked at: ${report.outage}`);
  const verified = `${report.extents} extents, ${gigabytes(report.payloadBytes)}${read ? '' : ', which were not read'}`;
  lines.push(`${report.partitions} partitions, ${verified}: ${verdict(report)}`);
  const isLeft = (kind: PayloadProblem['kind']) =>
    problems.some((problem) => problem.kind === kind && !problem.repaired);
  if (!repair && (['orphan', 'copy', 'list'] as const).some(isLeft))
    lines.push('--repair removes orphans, second copies, and lists, which the next start makes anew');
  if ((['missing', 'damaged'] as const).some(isLeft) && report.outage === null)
    lines.push(
      'put back what is missing, or give it up: --remove-lost takes these records out of the logs, so that consumers go on behind them',
    );
  return `${lines.join('\n')}\n`;
}

function verdict({ problems, moreProblems, outage }: PayloadReport): string {
  const count = problems.length + moreProblems;
  if (count === 0) return outage === null ? 'in order' : 'in order, as far as it could be looked at';
  const repaired = problems.filter((problem) => problem.repaired).length;
  const text = count === 1 ? '1 problem' : `${count} problems`;
  if (repaired === 0) return text;
  return repaired === count ? `${text}, repaired` : `${text}, ${repaired} of them repaired`;
}

function problemLine({ kind, topic, partition, offset, file, detail, repaired }: PayloadProblem): string {
  const where = offset === null ? `${topic}-${partition}` : `${topic}-${partition} offset ${offset}`;
  return `${repaired ? 'repaired' : kind.toUpperCase()}: ${where}: ${detail} (${file})`;
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
