/**
 * Lets requests of one connection take memory one after the other. Their answers leave in order: what a later one held would be given back only after
 * an earlier one, which may be waiting for that very memory.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Begins at once when nobody is before it. @param work must not throw, but reject */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#waiting === 0 ? work() : this.#last.then(work);
    this.#waiting++;
    const end = () => {
      this.#waiting--;
    };
    this.#last = turn.then(end, end);
    return turn;
  }
}

/** The turns of each connection, or of what else has an order. */
export class TurnsOf {
  readonly #turns = new WeakMap<object, Turns>();

  of(owner: object): Turns {
    let turns = this.#turns.get(owner);
    if (turns === undefined) {
      turns = new Turns();
      this.#turns.set(owner, turns);
    }
    return turns;
  }
}
