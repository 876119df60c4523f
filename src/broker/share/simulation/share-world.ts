import { createHash } from 'node:crypto';
import { ApiError } from '../../../protocol/errors.ts';
import { silentLogger } from '../../../util/logger.ts';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { ShareGroupSettings } from '../config.ts';
import { AcknowledgeType, type Acquired } from '../in-flight.ts';
import type { SharePartitionKey } from '../partition-state.ts';
import { SharePartition } from '../share-partition.ts';
import { ShareStateCoordinator } from '../state-coordinator.ts';
import { DeliveryChecker } from './delivery-checker.ts';
import { SimulatedStateLog } from './simulated-state-log.ts';

const KEY: SharePartitionKey = { groupId: 'group', topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 0 };

export const SETTINGS: ShareGroupSettings = {
  lockDurationMs: 15_000,
  deliveryCountLimit: 4,
  maxRecordLocks: 100,
  offsetReset: 'earliest',
  isolation: 'read_uncommitted',
  mayRenew: true,
};

/** A share partition and its coordinator, whose broker crashes, whose log fails, and whose members are slow, lost, and told twice. */
export class ShareWorld {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly checker = new DeliveryChecker(SETTINGS.deliveryCountLimit);
  readonly log: SimulatedStateLog;
  /** Probability that an answer, or a request, is lost. */
  lossRate = 0;
  duplicationRate = 0;
  /** The offsets behind the batches that were produced. */
  readonly #ends: bigint[] = [];
  #life = 0;
  #states: ShareStateCoordinator | null = null;
  #share: SharePartition | null = null;
  #failure: unknown = null;
  /** What members said for good and were not answered yet. */
  readonly #unanswered = new Set<Acquired>();
  readonly #digest = createHash('sha256');

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.log = new SimulatedStateLog(this.clock, this.random);
  }

  get end(): bigint {
    return this.#ends[this.#ends.length - 1] ?? 0n;
  }

  get share(): SharePartition | null {
    return this.#share;
  }

  digest(): string {
    return this.#digest.copy().digest('hex');
  }

  produce(): void {
    this.#ends.push(this.end + BigInt(this.random.integer(1, 12)));
  }

  async start(): Promise<void> {
    const states = new ShareStateCoordinator({
      clock: this.clock,
      config: { updatesPerSnapshot: 20, pruneIntervalMs: 30_000, coldSnapshotIntervalMs: 60_000 },
      logger: silentLogger,
      log: this.log,
      topic: {
        name: '__share_group_state',
        partitionCount: () => 1,
        isOffline: () => false,
        ensure: async () => 1,
      },
    });
    this.#states = states;
    void states.start();
    const isNew = this.#life++ === 0;
    if (isNew) await this.#untilDone(() => states.initialize(KEY, 1, -1n));
    await this.#open();
  }

  /** The broker dies: nobody is answered, and of what was being written some is there. */
  crash(): void {
    this.#trace('crash');
    for (const { firstOffset, lastOffset } of this.#unanswered) this.checker.saying(firstOffset, lastOffset);
    this.#unanswered.clear();
    this.#life++;
    this.#share?.close();
    this.#share = null;
    this.#states?.close();
    this.#states = null;
    this.log.crash();
  }

  /** A member takes what there is; it may not hear of it. */
  fetch(member: string, take: (acquired: readonly Acquired[]) => void): void {
    const share = this.#share;
    if (share === null || share.isClosed || this.random.chance(this.lossRate)) return;
    const wanted = share.wanted(this.random.integer(1, 40));
    if (wanted === null || wanted.from >= this.end || !share.beginFetch()) return;
    const life = this.#life;
    this.clock.setTimer(this.random.integer(0, 50), () => {
      if (life !== this.#life) return;
      // Whole batches, as the log has them.
      const end = this.#ends.find((each) => each > wanted.upTo) ?? this.end;
      const most = this.random.chance(0.3) ? 5 : Number.MAX_SAFE_INTEGER;
      const acquired = share.acquire(member, {
        from: wanted.from,
        base: wanted.from,
        end,
        aborted: [],
        most,
      });
      share.endFetch();
      const at = { nowMs: this.clock.now(), lockMs: SETTINGS.lockDurationMs, life };
      this.#guard(() => this.checker.acquired(member, acquired, at));
      for (const each of acquired) this.#trace(`${member} ${each.firstOffset}-${each.lastOffset}`);
      if (!this.random.chance(this.lossRate)) take(acquired);
    });
  }

  /** A member says what became of records; once, or twice. */
  acknowledge(member: string, range: Acquired, type: number): void {
    const { firstOffset, lastOffset } = range;
    if (this.random.chance(this.lossRate)) return;
    const times = this.random.chance(this.duplicationRate) ? 2 : 1;
    for (let i = 0; i < times; i++)
      this.clock.setTimer(this.random.integer(0, 2_000), () => {
        const share = this.#share;
        if (share === null || share.isClosed) return;
        const life = this.#life;
        const isFinal = type === AcknowledgeType.ACCEPT || type === AcknowledgeType.REJECT;
        const batches = [{ firstOffset, lastOffset, acknowledgeTypes: [type] }];
        const said = { ...range };
        // What lies before it is done with: saying so again changes nothing.
        const { startOffset } = share.inFlight;
        const news = firstOffset < startOffset ? startOffset : firstOffset;
        if (isFinal) this.#unanswered.add(said);
        share.acknowledge(member, batches).then(
          () => {
            if (life !== this.#life) return;
            this.#unanswered.delete(said);
            this.#trace(`${member} ${type} ${firstOffset}-${lastOffset}`);
            this.#guard(() => this.#said(type, news, lastOffset));
          },
          (error: unknown) => {
            this.#unanswered.delete(said);
            if (!(error instanceof ApiError)) this.#failure ??= error;
          },
        );
      });
  }

  leave(member: string): void {
    const share = this.#share;
    const life = this.#life;
    void share?.releaseAll(member).then(
      () => {
        if (life === this.#life) this.checker.left(member);
      },
      () => undefined,
    );
  }

  /** Opens the share partition again if it was given up. */
  async reopen(): Promise<void> {
    if (this.#states !== null && (this.#share === null || this.#share.isClosed)) await this.#open();
  }

  async run(durationMs: number): Promise<void> {
    await this.clock.advance(durationMs);
    if (this.#failure !== null) throw this.#failure;
  }

  async #open(): Promise<void> {
    const states = this.#states!;
    await this.#untilDone(async () => {
      const share = await SharePartition.open({
        key: KEY,
        log: { logStartOffset: 0n, leaderEpoch: 0, firstOffset: async () => 0n },
        persister: states,
        settings: () => SETTINGS,
        clock: this.clock,
        logger: silentLogger,
        metrics: { accepted: 0, released: 0, rejected: 0, renewed: 0, timedOut: 0, acquired: 0 },
        fenced: () => share.close(),
      });
      this.#share = share;
    });
  }

  /** While something is loading, or the log fails, it is tried again. */
  async #untilDone(action: () => Promise<void>): Promise<void> {
    for (let done = false; !done; ) {
      let settled = false;
      action().then(
        () => {
          done = true;
          settled = true;
        },
        () => {
          settled = true;
        },
      );
      while (!settled) await this.run(10);
      if (!done) await this.run(500);
    }
  }

  #said(type: number, first: bigint, last: bigint): void {
    if (type === AcknowledgeType.ACCEPT) this.checker.said(first, last, 'accepted');
    else if (type === AcknowledgeType.REJECT) this.checker.said(first, last, 'rejected');
    else if (type === AcknowledgeType.RELEASE) this.checker.said(first, last, 'released');
    else this.checker.renewed(first, last, this.clock.now() + SETTINGS.lockDurationMs);
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #trace(line: string): void {
    this.#digest.update(`${this.clock.now()} ${line}\n`);
  }
}
