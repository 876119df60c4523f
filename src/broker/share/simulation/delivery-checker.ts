import assert from 'node:assert/strict';
import type { Acquired } from '../in-flight.ts';

interface Delivery {
  holder: string | null;
  deadlineMs: number;
  /** Broker lives begin with empty hands: what was held in an earlier one is not any more. */
  life: number;
  attempts: number;
  /** Written, and answered, that it was processed or refused. */
  done: 'accepted' | 'rejected' | null;
  /** Said, but not answered: it may have been written. */
  mayBeDone: boolean;
  lastCount: number;
}

/** What every record of a share partition must go through, whatever happens. */
export class DeliveryChecker {
  readonly #records = new Map<bigint, Delivery>();
  readonly #limit: number;
  accepted = 0;
  redelivered = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  acquired(
    member: string,
    ranges: readonly Acquired[],
    at: { nowMs: number; lockMs: number; life: number },
  ): void {
    for (const { firstOffset, lastOffset, deliveryCount } of ranges) {
      assert.ok(deliveryCount <= this.#limit, `offset ${firstOffset} is delivered ${deliveryCount} times`);
      for (let offset = firstOffset; offset <= lastOffset; offset++) {
        const record = this.#of(offset);
        assert.equal(record.done, null, `offset ${offset} is delivered after it was ${record.done}`);
        if (record.holder !== null && record.life === at.life)
          assert.ok(
            record.deadlineMs <= at.nowMs,
            `offset ${offset} is given to ${member} while ${record.holder} has it`,
          );
        record.holder = member;
        record.deadlineMs = at.nowMs + at.lockMs;
        record.life = at.life;
        record.lastCount = deliveryCount;
        if (record.attempts++ > 0) this.redelivered++;
      }
    }
  }

  /** The broker is about to be told; until it answers nobody knows. */
  saying(first: bigint, last: bigint): void {
    for (let offset = first; offset <= last; offset++) this.#of(offset).mayBeDone = true;
  }

  renewed(first: bigint, last: bigint, deadlineMs: number): void {
    for (let offset = first; offset <= last; offset++) this.#of(offset).deadlineMs = deadlineMs;
  }

  said(first: bigint, last: bigint, outcome: 'accepted' | 'rejected' | 'released'): void {
    for (let offset = first; offset <= last; offset++) {
      const record = this.#of(offset);
      record.holder = null;
      if (outcome === 'released') continue;
      assert.equal(record.done, null, `offset ${offset} is acknowledged twice`);
      record.done = outcome;
      if (outcome === 'accepted') this.accepted++;
    }
  }

  /** The member's records were taken back on its account. */
  left(member: string): void {
    for (const record of this.#records.values()) if (record.holder === member) record.holder = null;
  }

  /** When all is calm nothing is left: each record was done with, or delivered as often as it may be. */
  assertComplete(end: bigint): void {
    for (let offset = 0n; offset < end; offset++) {
      const { done, mayBeDone, lastCount } = this.#of(offset);
      assert.ok(
        done !== null || mayBeDone || lastCount >= this.#limit,
        `offset ${offset} is lost: delivered ${lastCount} times, neither acknowledged nor given up`,
      );
    }
  }

  #of(offset: bigint): Delivery {
    const known = this.#records.get(offset);
    if (known !== undefined) return known;
    const made: Delivery = {
      ...{ holder: null, deadlineMs: 0, life: 0, attempts: 0, done: null, mayBeDone: false, lastCount: 0 },
    };
    this.#records.set(offset, made);
    return made;
  }
}
