import type { QuotaEntry } from '../metadata/quota-state.ts';
import { CLIENT_ID, USER } from './quota-manager.ts';

/** Whom a limit holds for: clients that share a name share what they use. */
export interface Limit {
  readonly perSecond: number;
  readonly sharedBy: string;
}

/** Of so many clients is remembered which limit they have; then it is looked for again. */
const REMEMBERED_MAX = 10_000;

/** The limits of one quota key, by the entity that has them. */
export class QuotaLimits {
  readonly #byEntity = new Map<string, number>();
  /** By user and client id: every request asks. */
  readonly #found = new Map<string, Map<string, Limit | null>>();
  #remembered = 0;

  constructor(entries: Iterable<QuotaEntry>, key: string) {
    for (const { entity, values } of entries) {
      const value = values.get(key);
      if (value === undefined || !(entity.has(USER) || entity.has(CLIENT_ID))) continue;
      this.#byEntity.set(name(entity.get(USER), entity.get(CLIENT_ID)), value);
    }
  }

  get isEmpty(): boolean {
    return this.#byEntity.size === 0;
  }

  /** The limit of a client: the most specific entity counts, in Kafka's order. Null for none. */
  of(user: string, clientId: string): Limit | null {
    if (this.isEmpty) return null;
    const known = this.#found.get(user)?.get(clientId);
    if (known !== undefined) return known;
    const limit = this.#find(user, clientId);
    if (this.#remembered++ >= REMEMBERED_MAX) {
      this.#found.clear();
      this.#remembered = 1;
    }
    const ofUser = this.#found.get(user) ?? new Map<string, Limit | null>();
    this.#found.set(user, ofUser.set(clientId, limit));
    return limit;
  }

  #find(user: string, clientId: string): Limit | null {
    // An entity that names only the user is shared by all its clients, and the other way round.
    return (
      this.#at(user, clientId, user, clientId) ??
      this.#at(user, null, user, clientId) ??
      this.#at(user, undefined, user, undefined) ??
      this.#at(null, clientId, user, clientId) ??
      this.#at(null, null, user, clientId) ??
      this.#at(null, undefined, user, undefined) ??
      this.#at(undefined, clientId, undefined, clientId) ??
      this.#at(undefined, null, undefined, clientId)
    );
  }

  #at(
    user: string | null | undefined,
    clientId: string | null | undefined,
    sharedUser: string | undefined,
    sharedClientId: string | undefined,
  ): Limit | null {
    const perSecond = this.#byEntity.get(name(user, clientId));
    return perSecond === undefined ? null : { perSecond, sharedBy: name(sharedUser, sharedClientId) };
  }
}

/** One text for each combination of a name, the default (null) and none (undefined). */
function name(user: string | null | undefined, clientId: string | null | undefined): string {
  return JSON.stringify([user === undefined ? 0 : user, clientId === undefined ? 0 : clientId]);
}
