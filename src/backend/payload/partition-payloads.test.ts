import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { crc32c } from '../../native/batch.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { Store } from '../../native/store.ts';
import { silentLogger } from '../../util/logger.ts';
import { PayloadError } from './checked-reads.ts';
import { HomePlaces } from './home-places.ts';
import { OpenFiles } from './open-files.ts';
import { PartitionPayloads } from './partition-payloads.ts';
import { PayloadUnreachable, type RecoveryInput, type Reference } from './payload-recovery.ts';
import type { PayloadOpenOptions, PayloadPlaces } from './ports.ts';
import { StoreError } from './stores/messages.ts';
import { TestFiles } from './testing.ts';

const HEADER_CRC = crc32c(Buffer.from('header'));

describe('PartitionPayloads', () => {
  let directory: string;
  let files: TestFiles;
  /** What the log would hold. */
  let log: Reference[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'payloads-'));
    files = new TestFiles();
    log = [];
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function make(segmentBytes = 1 << 20): PartitionPayloads {
    return new PartitionPayloads(directory, new OpenFiles(files, 4), { segmentBytes }, silentLogger);
  }

  function recovery(over: Partial<RecoveryInput> = {}): RecoveryInput {
    return {
      logStartOffset: 0n,
      logEndOffset: BigInt(log.length),
      recoveryPoint: null,
      async *references(from) {
        for (const reference of log) if (reference.lastOffset >= from) yield reference;
      },
      truncate: async () => undefined,
      ...over,
    };
  }

  /** Appends one extent for a batch of one record. */
  async function append(payloads: PartitionPayloads, piece: Uint8Array | MemoryPiece): Promise<Reference> {
    const extent = payloads.append(piece);
    const bytes = piece instanceof MemoryPiece ? piece.bytes() : piece;
    await extent.written;
    const offset = BigInt(log.length);
    extent.commit(offset, offset);
    const { segmentId, position, length } = extent;
    const batchCrc = crc32c(bytes, HEADER_CRC);
    const reference = {
      baseOffset: offset,
      lastOffset: offset,
      segmentId,
      position,
      length,
      headerCrc: HEADER_CRC,
      batchCrc,
    };
    log.push(reference);
    return reference;
  }

  async function read(payloads: PartitionPayloads, reference: Reference): Promise<string> {
    const piece = await payloads.read(reference);
    const text = Buffer.from(piece.bytes()).toString();
    piece.memory.release();
    return text;
  }

  function names(): string[] {
    return readdirSync(join(directory, 'payload')).sort();
  }

  function payloadPath(segment: number): string {
    return join(directory, 'payload', `${String(segment).padStart(20, '0')}.payload`);
  }

  it('gives back what was appended, before and after a restart', async () => {
    const payloads = make();
    for (let i = 0; i < 5; i++) await append(payloads, Buffer.from(`payload ${i}`));
    await payloads.flush();
    assert.equal(await read(payloads, log[3]!), 'payload 3');
    assert.equal(payloads.liveBytes, 45);
    await payloads.close();

    const again = make();
    const references = () => assert.fail('a clean start reads neither payload nor log');
    assert.equal(await again.recover(recovery({ references })), null);
    assert.equal(again.liveBytes, 45);
    for (let i = 0; i < 5; i++) assert.equal(await read(again, log[i]!), `payload ${i}`);
    await append(again, Buffer.from('more'));
    assert.equal(await read(again, log[5]!), 'more');
    await again.close();
    assert.equal(arenaStats().usedBytes, 0);
  });

  it('keeps extents apart that are written from where they are, also over a crash', async () => {
    let store = new Store({ threads: 1 });
    const onStore = () =>
      new PartitionPayloads(directory, new OpenFiles(store, 4), { segmentBytes: 1 << 20 }, silentLogger);
    const payloads = onStore();
    for (let i = 0; i < 5; i++) {
      const memory = NativeMemory.allocate(40_000)!;
      memory.bytes().fill(65 + i);
      await append(payloads, new MemoryPiece(memory, i * 7, 30_000));
      memory.release();
    }
    let end = 0;
    for (const [i, { position }] of log.entries()) {
      assert.ok(position >= end && position < end + 2 * 4096, `${position} behind ${end}`);
      assert.equal(position % 512, i * 7);
      end = position + 30_000;
    }
    assert.deepEqual([payloads.liveBytes, payloads.totalBytes], [150_000, end]);
    const found = payloads.find(0, log[2]!.position, 30_000);
    assert.equal(Buffer.from(found!.bytes()).toString(), 'C'.repeat(30_000));
    found!.memory.release();
    await store.shutdown();

    // What lies between them, and behind the last one, is nobody's.
    appendFileSync(payloadPath(0), Buffer.alloc(10_000));
    const content = readFileSync(payloadPath(0));
    content.fill(1, log[1]!.position + 30_000, log[2]!.position);
    writeFileSync(payloadPath(0), content);
    store = new Store({ threads: 1 });
    const again = onStore();
    assert.equal(await again.recover(recovery({ recoveryPoint: 0n })), null);
    assert.deepEqual([again.liveBytes, again.totalBytes], [150_000, end]);
    assert.equal(statSync(payloadPath(0)).size, end);
    for (const [i, reference] of log.entries())
      assert.equal(await read(again, reference), String.fromCharCode(65 + i).repeat(30_000));
    await again.close();
    await store.shutdown();

    // As a clean end left it, and then cut off in the midst of the last one.
    store = new Store({ threads: 1 });
    const third = onStore();
    const references = () => assert.fail('a clean start reads neither payload nor log');
    assert.equal(await third.recover(recovery({ references })), null);
    assert.equal((await read(third, log[4]!)).length, 30_000);
    await third.close();
    await store.shutdown();
    truncateSync(payloadPath(0), end - 1);
    rmSync(payloadPath(0).replace('.payload', '.extents'));
    store = new Store({ threads: 1 });
    const fourth = onStore();
    assert.equal(await fourth.recover(recovery({ recoveryPoint: 0n })), 4n);
    assert.equal(fourth.liveBytes, 120_000);
    assert.equal(statSync(payloadPath(0)).size, log[3]!.position + 30_000);
    await fourth.close();
    await store.shutdown();
    assert.equal(arenaStats().usedBytes, 0);
  });

  it('has space ahead for a segment that follows a full one', async () => {
    const ahead: number[] = [];
    const open = files.open.bind(files);
    files.open = (path: string, options: PayloadOpenOptions = {}) => {
      if (options.create) ahead.push(options.aheadBytes!);
      return open(path, options);
    };
    const payloads = make(100);
    for (const size of [60, 60, 30, 90]) await append(payloads, Buffer.alloc(size));
    payloads.endSegment();
    await append(payloads, Buffer.alloc(1));
    assert.deepEqual(ahead, [0, 100, 100, 0]);
    await payloads.close();
  });

  it('begins a new segment when one is full and removes those that nothing refers to', async () => {
    const payloads = make(100);
    for (let i = 0; i < 10; i++) await append(payloads, Buffer.alloc(40, i));
    assert.equal(payloads.totalBytes, 400);
    await payloads.reclaimBefore(5n);
    assert.equal(payloads.liveBytes, 5 * 40);
    assert.equal(payloads.totalBytes, 6 * 40);
    assert.ok(!names().includes('00000000000000000001.payload'));
    assert.equal(names()[0], '00000000000000000002.extents');
    await assert.rejects(read(payloads, log[0]!), { reason: 'missing' });
    await payloads.reclaimBefore(10n);
    assert.deepEqual(names(), []);
    assert.equal(payloads.totalBytes, 0);
    await append(payloads, Buffer.from('after'));
    assert.equal(await read(payloads, log[10]!), 'after');
    await payloads.close();
  });

  it('says when payload is damaged or missing', async () => {
    const payloads = make(50);
    for (let i = 0; i < 3; i++) await append(payloads, Buffer.alloc(40, i));
    await payloads.close();
    const again = make();
    writeFileSync(payloadPath(1), Buffer.alloc(40, 9));
    rmSync(payloadPath(2));
    await again.recover(recovery());
    assert.equal((await read(again, log[0]!)).length, 40);
    await assert.rejects(
      read(again, log[1]!),
      (error) => error instanceof PayloadError && error.reason === 'damaged',
    );
    await assert.rejects(
      read(again, log[2]!),
      (error) => error instanceof PayloadError && error.reason === 'missing',
    );
    // Of those that are read together each has its own answer, in their order.
    const wanted = [log[0]!, log[1]!, log[0]!, log[0]!, log[2]!, { ...log[0]!, segmentId: 7 }];
    const together = (await again.readAll(wanted)).map((read) => {
      if (read instanceof PayloadError) return `${read.segmentId} ${read.reason}`;
      assert.ok(read instanceof MemoryPiece);
      read.memory.release();
      return read.byteLength;
    });
    assert.deepEqual(together, [40, '1 damaged', 40, 40, '2 missing', '7 missing']);
    assert.deepEqual(await again.readAll([]), []);
    await again.close();
    assert.equal(arenaStats().usedBytes, 0);
  });

  it('removes what a crash left without a reference', async () => {
    const payloads = make(100);
    for (let i = 0; i < 3; i++) await append(payloads, Buffer.alloc(40, i));
    const lost = payloads.append(Buffer.alloc(40, 9));
    await lost.written;
    await payloads.append(Buffer.alloc(90, 9)).written;
    assert.equal(names().filter((name) => name.endsWith('.payload')).length, 3);
    while (!names().includes('00000000000000000000.extents')) await setImmediate();

    const again = make(100);
    assert.equal(await again.recover(recovery({ recoveryPoint: 0n })), null);
    assert.equal(again.totalBytes, 3 * 40);
    assert.equal(statSync(payloadPath(1)).size, 40);
    assert.ok(!names().includes('00000000000000000002.payload'));
    assert.equal(await read(again, log[2]!), Buffer.alloc(40, 2).toString());
    await append(again, Buffer.from('after'));
    assert.equal(log[3]!.segmentId, 3);
    await again.close();
  });

  it('finds the first reference beyond the recovery point whose payload is gone', async () => {
    const payloads = make();
    for (let i = 0; i < 4; i++) await append(payloads, Buffer.alloc(40, i));
    await payloads.flush();
    truncateSync(payloadPath(0), 130);
    const again = make();
    assert.equal(await again.recover(recovery({ recoveryPoint: 1n })), 3n);
    assert.equal(again.totalBytes, 120);
    log.pop();
    await again.close();

    const third = make();
    writeFileSync(payloadPath(0), Buffer.alloc(120));
    assert.equal(
      await third.recover(recovery({ recoveryPoint: 1n })),
      null,
      'a completed segment is durable',
    );
    await third.close();
  });

  it('keeps what is referred to behind the end of the log until that is cut', async () => {
    const payloads = make(50);
    for (let i = 0; i < 2; i++) await append(payloads, Buffer.alloc(40, i));
    await payloads.close();
    truncateSync(payloadPath(0), 10);
    for (const name of names().filter((name) => !name.endsWith('.payload')))
      rmSync(join(directory, 'payload', name));
    let kept: string[] = [];
    const truncate = async (cut: bigint) => {
      assert.equal(cut, 0n);
      kept = names();
    };
    assert.equal(await make().recover(recovery({ recoveryPoint: 0n, truncate })), 0n);
    assert.equal(kept.length, 2);
    assert.deepEqual(names(), []);
  });

  it('keeps records below the recovery point even if their payload is damaged', async () => {
    const payloads = make();
    for (let i = 0; i < 3; i++) await append(payloads, Buffer.alloc(40, i + 1));
    await payloads.flush();
    writeFileSync(
      payloadPath(0),
      Buffer.concat([Buffer.alloc(40), Buffer.alloc(40, 2), Buffer.alloc(40, 3)]),
    );
    const again = make();
    assert.equal(await again.recover(recovery({ recoveryPoint: 1n })), null);
    await assert.rejects(read(again, log[0]!), { reason: 'damaged' });
    assert.equal((await read(again, log[2]!)).length, 40);
    await again.close();
  });

  it('learns the extents from the log when the list is damaged', async () => {
    const payloads = make();
    for (let i = 0; i < 3; i++) await append(payloads, Buffer.alloc(40, i));
    await payloads.close();
    appendFileSync(payloadPath(0), 'garbage');
    truncateSync(join(directory, 'payload', names()[0]!), 20);
    const again = make();
    await again.recover(recovery({ logStartOffset: 1n }));
    assert.equal(again.liveBytes, 80);
    assert.equal(statSync(payloadPath(0)).size, 120);
    await again.close();
  });

  it('gives up what it could not give up before, with the next release or after a restart', async () => {
    const payloads = make();
    for (let i = 0; i < 2; i++) {
      await append(payloads, Buffer.alloc(40, i));
      payloads.endSegment();
    }
    await payloads.reclaimBefore(0n);
    files.refusedRemovals = 2;
    await assert.rejects(payloads.release([log[0]!]));
    assert.equal(payloads.totalBytes, 80);
    await assert.rejects(payloads.release([]));
    assert.equal(payloads.totalBytes, 80);
    await payloads.release([]);
    assert.equal(payloads.totalBytes, 40);
    files.refusedRemovals = 1;
    await assert.rejects(payloads.release([log[1]!]));
    await payloads.close();

    const again = make();
    await again.recover(recovery());
    assert.equal(again.totalBytes, 40);
    assert.ok(again.mayHoldDead);
    await again.retainOnly((async function* () {})());
    assert.equal(again.totalBytes, 0);
    assert.deepEqual(names(), []);
    await again.close();
  });

  it('forgets what is given up while its file is out of reach', async () => {
    let outage: string | null = null;
    const home = new HomePlaces(join(directory, 'payload'));
    const places: PayloadPlaces = {
      outage: null,
      attach: () => undefined,
      configure: () => undefined,
      relocated: () => undefined,
      find: (names) => home.find(names),
      place(segmentId) {
        const place = home.place(segmentId);
        return Object.defineProperty({ ...place }, 'outage', { get: () => outage });
      },
    };
    const open = new OpenFiles(files, 4);
    const options = { segmentBytes: 1 << 20 };
    const payloads = new PartitionPayloads(directory, open, options, silentLogger, places);
    for (let i = 0; i < 2; i++) await append(payloads, Buffer.alloc(40, i));
    payloads.endSegment();
    await payloads.reclaimBefore(0n);
    outage = 'nobody is there';
    await payloads.release([log[0]!]);
    await payloads.close();
    const again = make();
    await again.recover(recovery());
    assert.equal(again.liveBytes, 40);
    await again.close();
  });

  it('is not taken for empty when its directory cannot be read', async () => {
    writeFileSync(join(directory, 'payload'), '');
    await assert.rejects(make().recover(recovery()), { code: 'ENOTDIR' });
  });

  it('waits for payload that may be somewhere, and looks at it again, also after a clean end', async () => {
    const payloads = make();
    for (let i = 0; i < 2; i++) await append(payloads, Buffer.alloc(40, i));
    await payloads.flush();
    truncateSync(payloadPath(0), 50);
    let answer: 'EAGAIN' | 'ENOENT' = 'EAGAIN';
    const home = new HomePlaces(join(directory, 'payload'));
    const places: PayloadPlaces = {
      outage: null,
      attach: () => undefined,
      configure: () => undefined,
      relocated: () => undefined,
      place: () => assert.fail(),
      find: async (names) =>
        (await home.find(names)).map((found) => ({ ...found, place: { ...found.place, isAwaited: true } })),
    };
    const remote = {
      remove: (path: string) => files.remove(path),
      open: async () => ({
        readRanges: async () => [new StoreError(answer, 'a test')],
        truncate: async () => undefined,
        sync: async () => undefined,
        close: async () => undefined,
      }),
    } as unknown as TestFiles;
    const awaiting = () =>
      new PartitionPayloads(
        directory,
        new OpenFiles(remote, 4),
        { segmentBytes: 1 << 20 },
        silentLogger,
        places,
      );
    await assert.rejects(awaiting().recover(recovery({ recoveryPoint: 1n })), PayloadUnreachable);
    await assert.rejects(awaiting().recover(recovery({ recoveryPoint: null })), PayloadUnreachable);
    answer = 'ENOENT';
    const again = awaiting();
    // Where the log could not be cut, the next start does it.
    const truncate = () => Promise.reject(new Error('not now'));
    await assert.rejects(awaiting().recover(recovery({ truncate })), /not now/);
    assert.equal(await again.recover(recovery({ recoveryPoint: null })), 1n);
    await again.close();
    assert.ok(!names().includes('unchecked'));
  });

  it('flushes a segment that could not be completed', async () => {
    const payloads = make();
    await append(payloads, Buffer.from('before'));
    files.refusedTruncates = 1;
    payloads.endSegment();
    while (files.refusedTruncates > 0) await setImmediate();
    await setImmediate();
    assert.equal(payloads.needsFlush, true);
    await payloads.flush();
    assert.equal(payloads.needsFlush, false);
    await payloads.close();
  });

  it('survives a full disk: what was there stays, and appends succeed once there is space', async () => {
    const payloads = make();
    await append(payloads, Buffer.from('before'));
    files.freeBytes = 10;
    const small = payloads.append(Buffer.alloc(20));
    const next = payloads.append(Buffer.alloc(5));
    await assert.rejects(small.written!, { code: 'ENOSPC' });
    await assert.rejects(next.written!, { code: 'ENOSPC' });
    small.abandon();
    next.abandon();
    files.freeBytes = 1000;
    await append(payloads, Buffer.from('after'));
    await payloads.flush();
    assert.equal(await read(payloads, log[0]!), 'before');
    assert.equal(await read(payloads, log[1]!), 'after');
    await payloads.close();
    assert.equal(statSync(payloadPath(0)).size, 6);
    const again = make();
    await again.recover(recovery());
    assert.equal(await read(again, log[1]!), 'after');
    await again.close();
  });

  it('flushes everything appended before, and only if there is something', async () => {
    const payloads = make(100);
    for (let i = 0; i < 4; i++) await append(payloads, Buffer.alloc(40));
    await payloads.flush();
    const { syncs } = files;
    await payloads.flush();
    assert.equal(files.syncs, syncs);
    const extent = payloads.append(Buffer.alloc(10));
    await Promise.all([payloads.flush(), payloads.flush()]);
    assert.equal(files.syncs, syncs + 2);
    await extent.written;
    extent.abandon();
    await payloads.close();
  });

  it('holds few files open', async () => {
    const payloads = make(40);
    for (let i = 0; i < 20; i++) await append(payloads, Buffer.alloc(40, i));
    await payloads.reclaimBefore(0n);
    for (let round = 0; round < 2; round++) {
      for (const reference of log) assert.equal((await read(payloads, reference)).length, 40);
    }
    assert.ok(files.opened >= 40, 'sealed segments are opened to be read and closed again');
    await payloads.close();
  });
});
