import { ErrorCode } from '../../protocol/errors.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import type { FetchWait, Watched } from '../partitions/fetch-wait.ts';

export const INITIAL_EPOCH = 0;
export const FINAL_EPOCH = -1;

export interface SharedPartition {
  readonly topicId: Uuid;
  readonly partition: number;
}

/** What a member reads from this broker, so that its requests name only what has changed. */
export class ShareSession implements Watched {
  readonly groupId: string;
  readonly memberId: string;
  /** Fetches of the member that wait: they do so for nobody once the session has ended. */
  readonly waiters = new Set<FetchWait>();
  epoch = 1;
  /** Called when it is not the member's any more. */
  ended: () => void = () => undefined;
  #isEnded = false;
  readonly #partitions = new Map<string, SharedPartition>();

  constructor(groupId: string, memberId: string) {
    this.groupId = groupId;
    this.memberId = memberId;
  }

  /** Not the member's any more: nobody would acknowledge what it got. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  end(): void {
    this.#isEnded = true;
    this.ended();
    for (const waiter of [...this.waiters]) waiter.finish();
  }

  update(added: readonly SharedPartition[], forgotten: readonly SharedPartition[]): void {
    for (const partition of added) this.#partitions.set(partitionText(partition), partition);
    for (const partition of forgotten) this.#partitions.delete(partitionText(partition));
  }

  /** Everyone in turn comes first. */
  partitions(): SharedPartition[] {
    const all = [...this.#partitions.values()];
    const first = all.length === 0 ? 0 : this.epoch % all.length;
    return [...all.slice(first), ...all.slice(0, first)];
  }
}

/** The share sessions of all members, at most `limit`. */
export class ShareSessions {
  readonly #limit: number;
  readonly #sessions = new Map<string, ShareSession>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** A new session, in place of one that the member had; an error if there are too many. */
  begin(groupId: string, memberId: string): ShareSession | ErrorCode {
    const key = keyOf(groupId, memberId);
    this.#end(key);
    if (this.#sessions.size >= this.#limit) return ErrorCode.SHARE_SESSION_LIMIT_REACHED;
    const session = new ShareSession(groupId, memberId);
    this.#sessions.set(key, session);
    return session;
  }

  /** The member's session, for the request that has this epoch; it is in the next one then. */
  next(groupId: string, memberId: string, epoch: number): ShareSession | ErrorCode {
    const session = this.#sessions.get(keyOf(groupId, memberId));
    if (session === undefined) return ErrorCode.SHARE_SESSION_NOT_FOUND;
    if (session.epoch !== epoch) return ErrorCode.INVALID_SHARE_SESSION_EPOCH;
    session.epoch = epoch === 0x7fffffff ? 1 : epoch + 1;
    return session;
  }

  /** Ends the member's session; an error if it has none. */
  end(groupId: string, memberId: string): ShareSession | ErrorCode {
    const key = keyOf(groupId, memberId);
    return this.#end(key) ?? ErrorCode.SHARE_SESSION_NOT_FOUND;
  }

  /** Ends the session if it is still the member's. */
  endIfCurrent(session: ShareSession): boolean {
    const key = keyOf(session.groupId, session.memberId);
    return this.#sessions.get(key) === session && this.#end(key) !== undefined;
  }

  has(groupId: string): boolean {
    for (const session of this.#sessions.values()) if (session.groupId === groupId) return true;
    return false;
  }

  #end(key: string): ShareSession | undefined {
    const session = this.#sessions.get(key);
    this.#sessions.delete(key);
    session?.end();
    return session;
  }
}

/** A group's id may have any character, a member's too. */
function keyOf(groupId: string, memberId: string): string {
  return `${groupId.length}:${groupId}${memberId}`;
}

export function partitionText({ topicId, partition }: SharedPartition): string {
  return `${topicId}:${partition}`;
}
