import { type InlineProgress, inlineLogs } from '../../broker/hand-back/inline-logs.ts';
import { surveyPayload, type TopicSurvey } from '../../broker/hand-back/survey.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { configureArena } from '../../native/arena.ts';
import { Store } from '../../native/store.ts';
import { systemClock } from '../../util/clock.ts';
import { fabricSettings } from '../fabric-settings.ts';
import { createLogger } from '../logging.ts';
import { arenaBytes } from '../memory.ts';
import { storesSecurity } from '../store-settings.ts';

export interface InlineCommandOptions {
  dryRun: boolean;
  json: boolean;
}

const progressMs = 2000;

/** `kafabric log inline`: makes the data directories such as Apache Kafka opens. */
export async function inlineCommand(config: KafabricConfig, options: InlineCommandOptions): Promise<void> {
  // A batch is read as one piece.
  configureArena(arenaBytes(config));
  process.stdout.write(options.dryRun ? await dryRun(config, options) : await inline(config, options));
}

async function inline(config: KafabricConfig, { json }: InlineCommandOptions): Promise<string> {
  const logger = createLogger(json ? 'error' : 'warn', process.stderr);
  const report = await inlineLogs({
    config,
    clock: systemClock,
    storeAccess: { fabric: fabricSettings(config), ...storesSecurity(config, logger) },
    logger,
    onProgress: progressLine(),
  });
  if (json) return `${JSON.stringify(report, null, 2)}\n`;
  const { partitions, batches, bytes, removedSettings } = report;
  const lines = removedSettings.map((setting) => `removed, for Kafka does not know it: ${setting}`);
  lines.push(
    `${partitions} partitions, ${batches} batches (${gigabytes(bytes)}) are in the logs again`,
    `Apache Kafka can be started on ${config.resolved.logDirs.join(',')} as node ${config.resolved.nodeId}`,
  );
  return `${lines.join('\n')}\n`;
}

async function dryRun(config: KafabricConfig, { json }: InlineCommandOptions): Promise<string> {
  const store = new Store({ threads: 2, direct: config.get('log.direct.io.enable') });
  try {
    const topics = await surveyPayload(store, config.resolved.logDirs);
    if (json) return `${JSON.stringify(topics, null, 2)}\n`;
    const lines = topics.map(topicLine);
    const bytes = topics.reduce((sum, topic) => sum + topic.bytes, 0);
    lines.push(`${gigabytes(bytes)} of payload are to go back into the logs; nothing was changed`);
    return `${lines.join('\n')}\n`;
  } finally {
    await store.shutdown();
  }
}

function topicLine({ topic, partitions, batches, bytes }: TopicSurvey): string {
  return `${topic}: ${batches} batches in ${partitions} partitions, ${gigabytes(bytes)}`;
}

/** A line on the error stream every few seconds. */
function progressLine(): (progress: InlineProgress) => void {
  let shownAt = Date.now();
  return ({ partitions, batches, bytes }) => {
    if (Date.now() - shownAt < progressMs) return;
    shownAt = Date.now();
    process.stderr.write(`${partitions} partitions done, ${batches} batches, ${gigabytes(bytes)}\n`);
  };
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
