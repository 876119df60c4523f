import assert from 'node:assert/strict';
import { describeConfigsRequest } from '../../src/protocol/generated/describe-configs-request.ts';
import { describeConfigsResponse } from '../../src/protocol/generated/describe-configs-response.ts';
import { metadataRequest } from '../../src/protocol/generated/metadata-request.ts';
import { metadataResponse } from '../../src/protocol/generated/metadata-response.ts';
import type { Client } from '../harness/client.ts';
import type { SeenRecord } from '../harness/payload.ts';
import type { WireClient } from '../harness/wire-client.ts';

const topicType = 2;
const topicSource = 1;

/** What must be the same whoever opened a directory. */
export interface Content {
  topics: Record<string, { id: string; partitions: number; configs: Record<string, string> }>;
  committed: Record<string, number>;
  /** With the checksums of their values. */
  all: SeenRecord[];
  stable: SeenRecord[];
}

/** Through whom a broker is asked, and for what. */
export interface Asking {
  client: Client;
  wire: WireClient;
  group: string;
  /** Of each topic to be read, where each partition ends. */
  ends: ReadonlyMap<string, number[]>;
}

export async function contentOf(asking: Asking): Promise<Content> {
  const { client, wire, group, ends } = asking;
  const topics: Content['topics'] = {};
  const metadata = await wire.call([metadataRequest, metadataResponse], 12, { topics: null });
  for (const { name, topicId, partitions: all } of metadata.topics)
    topics[name!] = { id: topicId, partitions: all.length, configs: {} };
  const resources = Object.keys(topics).map((resourceName) => ({
    resourceType: topicType,
    resourceName,
    configurationKeys: null,
  }));
  const described = await wire.call([describeConfigsRequest, describeConfigsResponse], 4, { resources });
  for (const { resourceName, configs } of described.results)
    for (const { name, value, configSource } of configs)
      if (configSource === topicSource) topics[resourceName]!.configs[name] = value!;
  const committed: Content['committed'] = {};
  for (const [topic, { length }] of ends)
    for (let partition = 0; partition < length; partition++)
      committed[`${topic}-${partition}`] = (
        await client.call('committed', { group, topic, partition })
      ).offset;
  return {
    topics,
    committed,
    all: await read(asking, 'read_uncommitted'),
    stable: await read(asking, 'read_committed'),
  };
}

async function read(
  { client, ends }: Asking,
  isolation: 'read_uncommitted' | 'read_committed',
): Promise<SeenRecord[]> {
  const topics = [...ends].map(([topic, offsets]) => ({ topic, ends: offsets }));
  const seen = await client.call('consume', { topics, isolation });
  const place = ({ topic, partition, offset }: SeenRecord) =>
    `${topic} ${partition} ${String(offset).padStart(10, '0')}`;
  return seen.sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

export function assertSameContent(now: Content, before: Content): void {
  assert.deepEqual(now.topics, before.topics);
  assert.deepEqual(now.committed, before.committed);
  assert.equal(now.all.length, before.all.length);
  assert.deepEqual(now.all, before.all);
  assert.deepEqual(now.stable, before.stable);
  assert.ok(now.all.length > now.stable.length, 'nothing was aborted');
}
