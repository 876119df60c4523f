import assert from 'node:assert/strict';
import { buildBatch } from '../../protocol/records/builder.ts';
import { BATCH_BYTES, StoresFixture } from './stores.fixture.ts';
import { inNativeMemory } from './testing.ts';

/** Nothing is repaired before somebody says so. */
const SETUP = { config: { 'payload.replicas': '2' }, stores: { lostAfterMs: 3_600_000 } };
/** The same for all attempts; producers of long ago are forgotten. */
const NOW = BigInt(Date.now());
const NOT_ENOUGH_REPLICAS = { code: 19 };

describe('A batch that an idempotent producer sends again', () => {
  let fixture: StoresFixture;

  beforeEach(async () => {
    fixture = new StoresFixture();
    await fixture.startStores(3);
    await fixture.start(SETUP);
  });
  afterEach(() => fixture.end());

  const partition = () => fixture.broker!.partitions.find('t', 0)!;

  async function produce(sequence: number, allReplicas = true): Promise<bigint> {
    const options = { producerId: 7n, producerEpoch: 0, baseSequence: sequence, timestamp: NOW };
    const batch = buildBatch([{ key: null, value: Buffer.alloc(BATCH_BYTES, sequence + 1) }], options);
    const frame = inNativeMemory(batch);
    try {
      const { baseOffset } = await partition().produce(frame.bytes(), frame, allReplicas);
      fixture.produced[Number(baseOffset)] ??= batch;
      return baseOffset;
    } finally {
      frame.release();
    }
  }

  /** The stores that have the only segment. */
  const holders = () => {
    const [{ copies }] = fixture.segments as [(typeof fixture.segments)[0]];
    return copies.map(({ store }) =>
      fixture.stores.findIndex(({ server, id }) => server !== null && id === store),
    );
  };

  /** A store is killed between the append of a batch, which it has, and the flush that it is to be acknowledged after. */
  function killBeforeFlush(store: number): Promise<void> {
    const peer = fixture.access.peers[store]!;
    const request = peer.request.bind(peer);
    return new Promise((resolve) => {
      let isKilled = false;
      peer.request = (operation) => {
        if (operation.op !== 'sync' || isKilled) return request(operation);
        isKilled = true;
        const stopped = fixture.stores[store]!.stop({ killed: true });
        stopped.then(resolve);
        return stopped.then(() => request(operation));
      };
    });
  }

  it('is not acknowledged before as many stores as are asked for have it for sure', async () => {
    assert.equal(await produce(0), 0n);
    const [kept, lost] = holders();
    const killed = killBeforeFlush(lost!);
    await assert.rejects(produce(1), NOT_ENOUGH_REPLICAS);
    await killed;
    assert.equal(partition().log.logEndOffset, 2n);
    await assert.rejects(produce(1), NOT_ENOUGH_REPLICAS);
    // The segment ends with what is there: one copy.
    partition().payloads.endSegment();
    await fixture.until('the segment is complete', () =>
      fixture.segments.every(({ isComplete }) => isComplete),
    );
    await assert.rejects(produce(1), NOT_ENOUGH_REPLICAS);
    // Who asks for no more than that it is in the log hears that.
    assert.equal(await produce(1, false), 1n);
    await fixture.stop();
    await fixture.start(SETUP);
    await assert.rejects(produce(1), NOT_ENOUGH_REPLICAS);
    await fixture.stop();
    await fixture.start({ ...SETUP, stores: { lostAfterMs: 100 } });
    await fixture.until('there is another copy', () =>
      fixture.segments.every(({ copies }) => copies.filter(({ doubtful }) => !doubtful).length >= 2),
    );
    assert.equal(await produce(1), 1n);
    assert.equal(partition().log.logEndOffset, 2n);
    await fixture.stores[kept!]!.stop({ killed: true });
    await fixture.check();
  });

  it('is acknowledged while a store is away that has flushed it', async () => {
    assert.equal(await produce(0), 0n);
    partition().payloads.endSegment();
    await fixture.until('the segment is complete', () =>
      fixture.segments.every(({ isComplete }) => isComplete),
    );
    const [away] = holders();
    await fixture.stores[away!]!.stop({ killed: true });
    await fixture.until('that is seen', () => !fixture.access.peers[away!]!.isUp);
    assert.equal(await produce(0), 0n);
  });
});
