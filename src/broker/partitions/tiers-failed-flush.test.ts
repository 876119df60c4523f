import assert from 'node:assert/strict';
import type { PayloadFile } from '../../backend/payload/ports.ts';
import type { Store } from '../../native/store.ts';
import { TierFixture } from './tiers.fixture.ts';

describe('A flush that fails in a tier directory', () => {
  let tiers: TierFixture;
  /** With what a flush in the first tier fails; null: it does not. */
  let failing: string | null;
  let flushed: number;

  beforeEach(() => {
    tiers = new TierFixture();
    failing = null;
    flushed = 0;
  });
  afterEach(() => tiers.end());

  /** As the native store has it: after a flush that failed, all else fails, until the file was cut. */
  async function open(store: Store, path: string, options?: object): Promise<PayloadFile> {
    const file = await store.open(path, options);
    if (!path.startsWith(tiers.path(0))) return file;
    let failure: Error | null = null;
    return {
      append: (pieces, append) => {
        const appended = file.append(pieces, append);
        return failure === null ? appended : { ...appended, done: Promise.reject(failure) };
      },
      sync: async () => {
        if (failing !== null) failure ??= Object.assign(new Error('cannot flush'), { code: failing });
        if (failure !== null) throw failure;
        await file.sync();
        flushed++;
      },
      truncate: async (size) => {
        await file.truncate(size);
        failure = null;
      },
      readRanges: (ranges) => file.readRanges(ranges),
      findChecked: () => null,
      close: () => file.close(),
    };
  }

  for (const code of ['EIO', 'ENOSPC'])
    it(`takes it out of use after ${code}, and is not tried again`, async () => {
      const broker = await tiers.start({
        sizes: [[-1], [-1]],
        threshold: -1,
        wrap: (store) => ({
          punch: (path, ranges) => store.punch(path, ranges),
          remove: (path) => store.remove(path),
          open: (path, options) => open(store, path, options),
        }),
      });
      const { payloads } = broker.partitions.find('t', 0)!;
      failing = code;
      await assert.rejects(tiers.produce(1));
      failing = null;
      assert.match(broker.tiers.outage ?? '', /tier-0-0 is out of use: .*cannot flush/);
      // What was there is not taken for durable when the segment ends.
      await tiers.produce(1);
      payloads.completeAll();
      await payloads.reclaimBefore(0n);
      assert.equal(flushed, 0);
      assert.equal(tiers.payload(1).length, 1);
    });
});
