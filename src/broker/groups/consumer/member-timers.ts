import type { Clock, Timer } from '../../../util/clock.ts';

/**
 * What a member must do in time: send heartbeats (session), confirm that it gave partitions up (rebalance), and if it uses the
 * classic protocol rejoin when it is told to (join) and ask for its assignment afterwards (sync).
 */
export type MemberTimer = 'session' | 'rebalance' | 'join' | 'sync';

/** The timers of a group's members. */
export class MemberTimers {
  readonly #timers = new Map<string, Map<MemberTimer, Timer>>();

  /** Starts a timer, anew if it runs. */
  start(clock: Clock, memberId: string, kind: MemberTimer, timeoutMs: number, action: () => void): void {
    this.cancel(memberId, kind);
    const timers = this.#timers.get(memberId) ?? new Map<MemberTimer, Timer>();
    this.#timers.set(memberId, timers);
    const timer = clock.setTimer(timeoutMs, () => {
      this.#forget(memberId, kind);
      action();
    });
    timers.set(kind, timer);
  }

  isRunning(memberId: string, kind: MemberTimer): boolean {
    return this.#timers.get(memberId)?.has(kind) ?? false;
  }

  cancel(memberId: string, kind: MemberTimer): void {
    this.#timers.get(memberId)?.get(kind)?.cancel();
    this.#forget(memberId, kind);
  }

  /** Of one member, or of all. */
  cancelAll(memberId?: string): void {
    const memberIds = memberId === undefined ? [...this.#timers.keys()] : [memberId];
    for (const id of memberIds) {
      for (const timer of this.#timers.get(id)?.values() ?? []) timer.cancel();
      this.#timers.delete(id);
    }
  }

  #forget(memberId: string, kind: MemberTimer): void {
    const timers = this.#timers.get(memberId);
    timers?.delete(kind);
    if (timers?.size === 0) this.#timers.delete(memberId);
  }
}
