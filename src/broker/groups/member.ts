import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import type { SyncGroupResponse } from '../../protocol/generated/sync-group-response.ts';
import { EMPTY_BYTES } from '../../protocol/wire/types.ts';
import type { Timer } from '../../util/clock.ts';

/** Answers a request; called exactly once. */
export type Reply<T> = (response: T) => void;

/** A protocol (assignor) that a member supports, with the member's metadata for it. */
export interface MemberProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

export interface MemberOptions {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly protocolType: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly protocols: readonly MemberProtocol[];
  readonly assignment?: Uint8Array;
}

/** A member of a classic group. `ClassicGroup` keeps its counts in step: change a member through the group. */
export class ClassicMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly protocolType: string;
  rebalanceTimeoutMs: number;
  sessionTimeoutMs: number;
  /** In the member's order of preference. */
  protocols: readonly MemberProtocol[];
  assignment: Uint8Array;
  /** The parked JoinGroup or SyncGroup request, if there is one. */
  awaitingJoin: Reply<JoinGroupResponse> | null = null;
  awaitingSync: Reply<SyncGroupResponse> | null = null;
  /** True until the member's first JoinGroup is answered: it does not know its id and cannot heartbeat. */
  isNew = false;
  session: Timer | null = null;

  constructor(options: MemberOptions) {
    this.memberId = options.memberId;
    this.groupInstanceId = options.groupInstanceId;
    this.clientId = options.clientId;
    this.clientHost = options.clientHost;
    this.protocolType = options.protocolType;
    this.rebalanceTimeoutMs = options.rebalanceTimeoutMs;
    this.sessionTimeoutMs = options.sessionTimeoutMs;
    this.protocols = options.protocols;
    this.assignment = options.assignment ?? EMPTY_BYTES;
  }

  /** A member that is parked in a rebalance needs no heartbeats, unless it is new and may be gone. */
  get satisfiesHeartbeat(): boolean {
    return !this.isNew && (this.awaitingJoin !== null || this.awaitingSync !== null);
  }

  /** The member's metadata for a protocol; empty if it does not support it. */
  metadata(protocolName: string | null): Uint8Array {
    return this.protocols.find(({ name }) => name === protocolName)?.metadata ?? EMPTY_BYTES;
  }

  /** The candidate that the member likes best, or null if it supports none. */
  vote(candidates: ReadonlySet<string>): string | null {
    return this.protocols.find(({ name }) => candidates.has(name))?.name ?? null;
  }

  matches(protocols: readonly MemberProtocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      protocols.every(({ name, metadata }, i) => {
        const own = this.protocols[i]!;
        return own.name === name && Buffer.compare(own.metadata, metadata) === 0;
      })
    );
  }

  /** This static member under another id, without its parked requests and session (KIP-345). */
  withId(memberId: string): ClassicMember {
    return new ClassicMember({ ...this, memberId });
  }
}
