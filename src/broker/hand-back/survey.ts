import { stat } from 'node:fs/promises';
import type { Store } from '../../native/store.ts';
import { partitionsIn } from '../verify/found-partitions.ts';
import { storedReferences } from '../verify/stored-references.ts';

export interface TopicSurvey {
  readonly topic: string;
  partitions: number;
  /** Whose payload is not in the log. */
  batches: number;
  bytes: number;
}

/**
 * Counts what `inlineLogs` would put back into the logs, and changes nothing. Takes the directories' locks. Topics without payload are left out.
 * @throws Error for people, when a gateway has a directory or a log is damaged
 */
export async function surveyPayload(store: Store, directories: readonly string[]): Promise<TopicSurvey[]> {
  const found = new Map<string, TopicSurvey>();
  const locks = [];
  try {
    for (const directory of directories) {
      await stat(directory);
      locks.push(store.lockDirectory(directory));
    }
    for (const directory of directories) await surveyDirectory(store, directory, found);
  } finally {
    for (const lock of locks) lock.release();
  }
  return [...found.values()].sort((a, b) => (a.topic < b.topic ? -1 : 1));
}

async function surveyDirectory(
  store: Store,
  directory: string,
  found: Map<string, TopicSurvey>,
): Promise<void> {
  for (const { topic, directory: path, logStartOffset } of await partitionsIn(directory)) {
    const counted = await count(store, path, logStartOffset);
    if (counted.batches === 0) continue;
    const survey = found.get(topic) ?? { topic, partitions: 0, batches: 0, bytes: 0 };
    survey.partitions++;
    survey.batches += counted.batches;
    survey.bytes += counted.bytes;
    found.set(topic, survey);
  }
}

async function count(store: Store, path: string, from: bigint): Promise<{ batches: number; bytes: number }> {
  const counted = { batches: 0, bytes: 0 };
  const events = {
    onGap: () => {},
    onDamage: ({ file, position, reason }: { file: string; position: number; reason: string }) => {
      throw new Error(`${file} is damaged at ${position}: ${reason}; start and stop the gateway once`);
    },
  };
  for await (const { lastOffset, sizeBytes } of storedReferences(store, path, from, events)) {
    if (lastOffset < from) continue;
    counted.batches++;
    counted.bytes += sizeBytes;
  }
  return counted;
}
