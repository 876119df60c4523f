import { randomBytes } from 'node:crypto';
import { decodeMetaProperties } from '../../backend/log/checkpoint-files.ts';
import { TIER_PROPERTIES } from '../../backend/payload/tiers/identity.ts';
import type { ObjectStore } from '../../backend/payload/tiers/s3/objects.ts';
import { WorkerObjects } from '../../backend/payload/tiers/s3/worker-objects.ts';
import { bucketUrl, type KafabricConfig } from '../../config/index.ts';
import { type Finding, note, ok, problem } from './finding.ts';

const REQUESTS = 5;
const SMALL_BYTES = 1 << 20;
/** An object store that does not answer within so long is away. */
const PATIENCE_MS = 10_000;

/** Whether the bucket of the tier S3 can be used, and is this gateway's. `measure`: write an object, which is removed again. */
export async function checkObjectStore(config: KafabricConfig, measure: boolean): Promise<Finding[]> {
  const { s3, nodeId } = config.resolved;
  if (s3 === null) return [];
  const objects = new WorkerObjects(s3);
  objects.patienceMs = PATIENCE_MS;
  const where = `object store ${bucketUrl(s3)}${s3.endpoint === '' ? '' : ` at ${s3.endpoint}`}`;
  try {
    const properties = await objects.read(s3.prefix + TIER_PROPERTIES);
    const found = await objects.list(s3.prefix, '');
    const readMs = await medianRead(objects, s3.prefix + TIER_PROPERTIES);
    const writes = measure ? `, ${await writeMs(objects, s3.prefix)} ms for an object of 1 MiB` : '';
    const text = `${where}: a small request takes ${readMs.toFixed(1)} ms${writes}`;
    if (properties === null && found.length > 0)
      return [
        problem(
          'objects',
          `${text}; it holds ${found[0]!.key} and has no ${TIER_PROPERTIES}`,
          'the tier needs an empty bucket or prefix for itself: set storage.s3.prefix',
        ),
      ];
    if (properties === null) return [note('objects', `${text}; it is empty`, null)];
    const owner = decodeMetaProperties(Buffer.from(properties));
    if (owner.nodeId !== nodeId)
      return [
        problem(
          'objects',
          `${text}; it belongs to node ${owner.nodeId} of cluster ${owner.clusterId}`,
          'each gateway needs a bucket or prefix of its own: set storage.s3.prefix',
        ),
      ];
    return [ok('objects', text)];
  } catch (error) {
    // The error says what to do about it, where that is known.
    const advice =
      'a gateway starts without it, and serves what is not in the bucket; see to storage.s3.* and docs/tiers.md';
    return [problem('objects', `${where}: ${(error as Error).message}`, advice)];
  } finally {
    objects.close();
  }
}

async function medianRead(objects: ObjectStore, key: string): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < REQUESTS; i++) {
    const began = performance.now();
    await objects.info(key);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[REQUESTS >> 1]!;
}

async function writeMs(objects: ObjectStore, prefix: string): Promise<string> {
  const key = `${prefix}doctor-${randomBytes(8).toString('hex')}`;
  const began = performance.now();
  await objects.write(key, Buffer.alloc(SMALL_BYTES));
  const took = performance.now() - began;
  await objects.remove(key);
  return took.toFixed(1);
}
