import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../config/index.ts';
import { createCreatableTopic } from '../protocol/generated/create-topics-request.ts';
import { systemClock } from '../util/clock.ts';
import { silentLogger } from '../util/logger.ts';
import { EmbeddedBroker } from './embedded-broker.ts';

describe('EmbeddedBroker', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'kafabric-broker-'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  function open(...names: string[]): Promise<EmbeddedBroker> {
    const config = loadConfig({
      environment: {},
      overrides: [`log.dirs=${names.map((name) => join(dir, name)).join(',')}`],
      host: { isRoot: false, homeDirectory: dir },
    });
    const endpoints = [{ name: 'PLAINTEXT', host: '127.0.0.1', port: 9092 }];
    return EmbeddedBroker.open({ config, clock: systemClock, logger: silentLogger, endpoints });
  }

  async function withTopic(): Promise<void> {
    const broker = await open('a');
    await broker.topics.createTopics([
      createCreatableTopic({ name: 't', numPartitions: 2, replicationFactor: 1 }),
    ]);
    await broker.close();
  }

  it('opens again what it closed, with higher leader epochs', async () => {
    await withTopic();
    const broker = await open('a');
    assert.equal(broker.partitions.find('t', 1)?.leaderEpoch, 1);
    await broker.close();
  });

  it('refuses to start without the metadata that its logs belong to', async () => {
    await withTopic();
    renameSync(join(dir, 'a/__cluster_metadata-0'), join(dir, 'elsewhere'));
    await assert.rejects(
      open('a'),
      /__cluster_metadata-0, is in none of log.dirs, but there are logs of topics, such as t-/,
    );
    renameSync(join(dir, 'elsewhere'), join(dir, 'a/__cluster_metadata-0'));
    await (await open('a')).close();
  });

  it('refuses to start a new cluster while a directory that may hold the metadata cannot be used', async () => {
    writeFileSync(join(dir, 'broken'), 'a file, not a directory');
    await assert.rejects(open('fresh', 'broken'), /broken cannot be used and may hold it/);
  });
});
