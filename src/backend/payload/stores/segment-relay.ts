import { type Operation, StoreError } from './messages.ts';
import { type Copy, type ReachedCopy, readersOf, type SegmentStores } from './segment-copies.ts';

type Append = Extract<Operation, { op: 'append' }>;
/** One append as it is asked of a store, but for its file and the key of the memory. */
export type AppendOrder = Omit<Append, 'op' | 'file' | 'key' | 'onward'>;

/** Puts what a segment gets to one of its stores, the head, which passes it on to the others. */
export class SegmentRelay {
  readonly #head: ReachedCopy;

  private constructor(head: ReachedCopy) {
    this.#head = head;
  }

  /** The nearest of the stores is the head; null when it cannot reach all others. */
  static async open(copies: readonly Copy[], stores: SegmentStores): Promise<SegmentRelay | null> {
    const whole = copies.filter(({ doubtful }) => !doubtful);
    const [head, ...others] = readersOf(whole, stores);
    if (head === undefined || others.length === 0) return null;
    try {
      await Promise.all(
        others.map(({ peer, copy: { store } }) =>
          head.peer.request({ op: 'relay', store, address: peer.address }),
        ),
      );
      return new SegmentRelay(head);
    } catch (error) {
      const fields = { store: head.copy.store, reason: (error as Error).message };
      stores.warn(fields, 'a payload store cannot pass on what it gets: the gateway sends it to each store');
      return null;
    }
  }

  /** Returns what tells whether a copy has it: rejects with a StoreError when it does not. */
  append(order: AppendOrder, copies: readonly Copy[]): (reached: ReachedCopy) => Promise<void> {
    const { copy: first, peer: head } = this.#head;
    const onward = copies.filter((copy) => copy !== first).map(({ store, file }) => ({ store, file }));
    const sent = head.request({ op: 'append', ...order, file: first.file, key: head.key, onward });
    sent.catch(() => undefined);
    return async ({ copy, peer }) => {
      const { failed } = await sent;
      const its = failed.find(({ store }) => store === copy.store);
      if (its === undefined) return;
      if (its.code === 'ENOSPC') peer.isFull();
      throw new StoreError(its.code, its.message);
    };
  }
}
