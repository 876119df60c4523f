import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from '../harness/client.ts';
import { readMetric } from '../harness/metrics.ts';
import { type PlannedRecord, recordOf, type SeenRecord } from '../harness/payload.ts';
import { SmallDisk } from '../harness/small-disk.ts';
import { dumpLogSegments, filesOf, partitionDirs, storedBatches } from './on-disk.ts';

const small = 500;
const diverted = 80_000;

function records(count: number, size: number): PlannedRecord[] {
  return Array.from({ length: count }, (_, i) => recordOf(`k${i}`, size, i));
}

function flipByte(file: string, position: number): void {
  const bytes = readFileSync(file);
  bytes[position]! ^= 0xff;
  writeFileSync(file, bytes);
}

describe('damaged files', () => {
  // Outcomes are this gateway's own; Apache Kafka's differ in places.
  if (targetIsKafka) return;
  let dir: string;
  let broker: Broker;
  let client: Client;

  before(async function () {
    requireToolchain(this, 'go');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-damage-'));
    broker = await makeBroker({ dir });
    await broker.start();
    client = startClient(clientKinds.find(({ name }) => name === 'franz-go')!, broker.bootstrap);
  });

  after(async () => {
    await client?.stop();
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  /** A topic of one partition with `count` records, each a batch of its own. */
  async function fill(topic: string, count: number, size: number): Promise<string> {
    await client.call('create', { topic, partitions: 1, configs: { 'index.interval.bytes': '512' } });
    await append(topic, records(count, size));
    return partitionDirs(broker.dataDir, topic)[0]!;
  }

  async function append(topic: string, planned: PlannedRecord[], acks = -1): Promise<number> {
    let base = -1;
    for (const record of planned)
      ({ baseOffset: base } = await client.call('produce', {
        topic,
        partition: 0,
        codec: 'none',
        acks,
        records: [record],
      }));
    return base;
  }

  function consume(topic: string, end: number): Promise<SeenRecord[]> {
    return client.call('consume', { topics: [{ topic, ends: [end] }] });
  }

  it('a torn tail is cut off; what was acknowledged stays and appends go on', async () => {
    const partition = await fill('torn', 10, small);
    await broker.kill('SIGKILL');
    const batches = storedBatches(partition);
    const last = batches.at(-1)!;
    const tail = readFileSync(last.file).subarray(last.position, last.position + last.size - 10);
    appendFileSync(last.file, tail);
    await broker.start();
    assert.equal(await append('torn', records(1, small)), 10);
    assert.equal((await consume('torn', 11)).length, 11);
  });

  it('truncated and missing indexes are rebuilt', async () => {
    const partition = await fill('indexes', 40, small);
    await broker.kill('SIGKILL');
    for (const file of filesOf(partition, '.index')) truncateSync(file, 5);
    for (const file of filesOf(partition, '.timeindex')) rmSync(file);
    await broker.start();
    assert.equal((await consume('indexes', 40)).length, 40);
    await broker.kill('SIGTERM');
    await dumpLogSegments([partition]);
    // And after a clean stop, when nothing else calls for recovery.
    for (const file of filesOf(partition, '.index')) rmSync(file);
    await broker.start();
    assert.equal((await consume('indexes', 40)).length, 40);
  });

  it('a missing producer snapshot is rebuilt from the log', async () => {
    const partition = await fill('snapshots', 5, small);
    await broker.kill('SIGTERM');
    for (const file of filesOf(partition, '.snapshot')) rmSync(file);
    await broker.start();
    // The idempotent producer goes on with its sequence numbers.
    assert.equal(await append('snapshots', records(3, small)), 7);
  });

  it('shared memory that another program has removed is not acknowledged from any more', async () => {
    await fill('unshared', 3, small);
    const [memory, ...others] = readdirSync('/dev/shm').filter((name) => name.includes(`.${broker.pid}-`));
    assert.ok(memory && others.length === 0, 'its file is found');
    rmSync(join('/dev/shm', memory));
    const isSaid = () => /"level":"error".*log\.ack=memory is off until the next start/.test(broker.logs());
    await until('it is said', 20_000, isSaid);
    assert.equal(await readMetric(broker.metricsUrl!, 'kafabric_arena_shared'), 0);
    for (const size of [small, diverted]) await append('unshared', records(5, size), 1);
    await broker.kill('SIGKILL');
    await broker.start();
    assert.equal(await readMetric(broker.metricsUrl!, 'kafabric_arena_shared'), 1);
    assert.equal((await consume('unshared', 13)).length, 13);
  });

  it('a flipped byte in a batch that may not be durable ends the log there; other partitions keep theirs', async () => {
    const partition = await fill('flipped', 10, small);
    await fill('flipped-neighbour', 10, small);
    await broker.kill('SIGKILL');
    const sixth = storedBatches(partition)[5]!;
    flipByte(sixth.file, sixth.position + sixth.size - 3);
    await broker.start();
    assert.equal(storedBatches(partition).length, 5);
    assert.equal((await consume('flipped', 5)).length, 5);
    assert.equal((await consume('flipped-neighbour', 10)).length, 10);
    assert.match(broker.logs(), /flipped-0.*bad batch|bad batch.*flipped-0/);
  });

  it('a flipped byte in a payload is a loud error, never a wrong value; other partitions are unaffected', async () => {
    const partition = await fill('payload', 5, diverted);
    await fill('payload-neighbour', 5, diverted);
    await broker.kill('SIGTERM');
    const { extent } = storedBatches(partition)[3]!;
    assert.ok(extent, 'the record was not diverted');
    const [file] = filesOf(join(partition, 'payload'), '.payload');
    flipByte(file!, extent.position + 1000);
    await broker.start();
    const reading = consume('payload', 5).then(
      () => 'read',
      () => 'refused',
    );
    await until('the error is logged', 20_000, () => /"level":"error".*payload/.test(broker.logs()));
    const line = broker
      .logs()
      .split('\n')
      .find((one) => /"level":"error".*payload/.test(one))!;
    assert.match(line, /"topic":"payload"/);
    assert.match(line, /"partition":0/);
    assert.match(line, /"offset":"?3/);
    assert.match(line, /segment/);
    assert.equal(await Promise.race([reading, sleep(500).then(() => 'waiting')]), 'waiting');
    const metrics = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    assert.match(metrics, /payload_errors_total\S* [1-9]/);
    await client.stop(); // it would ask again for ever
    client = startClient(clientKinds.find(({ name }) => name === 'franz-go')!, broker.bootstrap);
    assert.equal((await consume('payload-neighbour', 5)).length, 5);
    assert.equal((await consume('payload', 3)).length, 3);
  });
});

describe('directories that cannot be used', () => {
  // Apache Kafka ends itself.
  if (!targetIsKafka && SmallDisk.isPossible)
    it('a full disk refuses records, keeps what was acknowledged, and serves again when there is room', async function () {
      requireToolchain(this, 'go');
      const dir = mkdtempSync(join(tmpdir(), 'kafabric-full-'));
      const disk = await SmallDisk.mount(dir, 48);
      const broker = await makeBroker({ dir, overrides: { 'payload.segment.bytes': '1048576' } });
      let client: Client | null = null;
      try {
        await broker.start();
        client = startClient(clientKinds.find(({ name }) => name === 'franz-go')!, broker.bootstrap);
        await client.call('create', {
          topic: 'full',
          partitions: 1,
          configs: { 'segment.bytes': '1048576' },
        });
        const refusals = () =>
          readMetric(
            broker.metricsUrl!,
            'kafabric_request_errors_total{api="Produce",error="KAFKA_STORAGE_ERROR"}',
          );
        const filler = join(dir, 'filler');
        writeFileSync(filler, Buffer.alloc(20 << 20));
        const args = { topic: 'full', partition: 0, codec: 'none', acks: -1, records: [] as PlannedRecord[] };
        let acknowledged = 0;
        let refused = false;
        for (let i = 0; i < 600 && !refused; i++) {
          const [record] = records(1, i % 2 === 0 ? diverted : 20_000);
          let outcome: boolean | null = null;
          void client.call('produce', { ...args, records: [record!] }).then(
            () => {
              outcome = true;
            },
            () => {
              outcome = false;
            },
          );
          // The client tries again for ever: what is not answered soon has been refused, or is late.
          for (let look = 1; outcome === null; look++) {
            await sleep(5);
            if (look % 100 === 0 && (await refusals()) > 0) break;
          }
          if (outcome === true) acknowledged++;
          else refused = true;
        }
        assert.ok(refused, 'the disk was never full');
        assert.ok(acknowledged > 0);
        rmSync(filler);
        await client.stop();
        client = startClient(clientKinds.find(({ name }) => name === 'franz-go')!, broker.bootstrap);
        await client.call('produce', { ...args, records: records(1, small) });
        const seen = await client.call('consume', { topics: [{ topic: 'full', ends: [acknowledged + 1] }] });
        assert.ok(seen.length > acknowledged);
      } finally {
        await client?.stop();
        await broker.stop();
        await disk.unmount();
        rmSync(dir, { recursive: true });
      }
    });

  if (!targetIsKafka && SmallDisk.isPossible)
    it('a start on a full disk has the space of removed segments', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'kafabric-full-start-'));
      const disk = await SmallDisk.mount(dir, 64);
      const before = await makeBroker({ dir });
      // Noted in the data directory before anything is read there.
      const memory = mkdtempSync('/dev/shm/kafabric-full-start-');
      const broker = await makeBroker({ dir, overrides: { 'arena.directory': memory } });
      try {
        await before.start();
        await before.stop();
        // The start would remove it, and have room.
        rmSync(join(before.dataDir, '.kafka_cleanshutdown'));
        const kept = join(before.dataDir, 'recycled-0.free');
        writeFileSync(kept, Buffer.alloc(20 << 20));
        disk.fill(0);
        await broker.start();
        assert.ok(!existsSync(kept));
      } finally {
        await before.stop();
        await broker.stop();
        await disk.unmount();
        for (const path of [dir, memory]) rmSync(path, { recursive: true });
      }
    });

  if (!targetIsKafka)
    it('a data directory that cannot be written ends the start with its name', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'kafabric-unwritable-'));
      // A file where the directory should be stops root too, whom permissions do not.
      writeFileSync(join(dir, 'data'), 'not a directory');
      const broker = await makeBroker({ dir });
      await assert.rejects(broker.start(), (error: Error) => error.message.includes(join(dir, 'data')));
      assert.notEqual(await broker.ended(), 0);
      rmSync(dir, { recursive: true });
    });

  if (!targetIsKafka)
    it('with several data directories, one that cannot be used leaves the others serving', async function () {
      requireToolchain(this, 'go');
      const dir = mkdtempSync(join(tmpdir(), 'kafabric-directories-'));
      const directories = [join(dir, 'a'), join(dir, 'b')];
      const broker = await makeBroker({ dir, overrides: { 'log.dirs': directories.join(',') } });
      await broker.start();
      const client = startClient(clientKinds.find(({ name }) => name === 'franz-go')!, broker.bootstrap);
      await client.call('create', { topic: 'spread', partitions: 6, configs: {} });
      const args = { topic: 'spread', codec: 'none', acks: -1, records: records(2, diverted) };
      for (let partition = 0; partition < 6; partition++)
        await client.call('produce', { ...args, partition });
      await client.stop();
      await broker.kill('SIGTERM');
      const kept = directories.find((one) => existsSync(join(one, '__cluster_metadata-0')))!;
      const broken = directories.find((one) => one !== kept)!;
      rmSync(broken, { recursive: true });
      writeFileSync(broken, 'not a directory');
      await broker.start();
      const again = startClient(clientKinds.find(({ name }) => name === 'franz-go')!, broker.bootstrap);
      const here = partitionDirs(kept, 'spread').map((path) => Number(path.at(-1)));
      assert.ok(here.length > 0 && here.length < 6);
      const ends = Array.from({ length: 6 }, (_, partition) => (here.includes(partition) ? 2 : 0));
      const seen = await again.call('consume', { topics: [{ topic: 'spread', ends }] });
      assert.equal(seen.length, 2 * here.length);
      await again.stop();
      await broker.stop();
      rmSync(dir, { recursive: true });
    });
});
