/** Who uses what is limited. */
export interface QuotaClient {
  /** The principal's name, without its type. */
  readonly user: string;
  readonly clientId: string;
}

/** What is remembered of clients that have gone: the longest unused is forgotten first. */
const CLIENTS_MAX = 10_000;

/** The users of one limited thing, with the state that is kept of each. */
export class Users<T> {
  readonly #users = new Map<string, T>();
  readonly #create: () => T;

  constructor(create: () => T) {
    this.#create = create;
  }

  of(name: string): T {
    const user = this.#users.get(name) ?? this.#create();
    // The order of the map is that of the last use.
    this.#users.delete(name);
    this.#users.set(name, user);
    if (this.#users.size > CLIENTS_MAX) this.#users.delete(this.#users.keys().next().value!);
    return user;
  }
}
