/**
 * Which subscriber of a topic is the next to take a partition, and which to give one up. The members are sorted by their
 * number of partitions; a range of the least loaded grows from the left while it is filled, one of the most loaded from the
 * right while it is emptied, each level of load after the other.
 */
export class MemberBalancer {
  /** Partitions by member, which the caller counts. */
  readonly #loads: readonly number[];
  #members: number[] = [];
  #leastEnd = 0;
  #leastLoad = 0;
  #nextLeast = 0;
  #mostStart = 0;
  #mostEnd = 0;
  #mostLoad = 0;
  #nextMost = 0;

  constructor(loads: readonly number[]) {
    this.#loads = loads;
  }

  /** Begins anew with these members, of which there is one at least; returns the difference of the greatest and the least load. */
  begin(members: readonly number[]): number {
    this.#members = [...members].sort((a, b) => this.#loads[a]! - this.#loads[b]! || a - b);
    const least = this.#loads[this.#members[0]!]!;
    const most = this.#loads[this.#members.at(-1)!]!;
    this.#leastEnd = 0;
    this.#leastLoad = least - 1;
    this.#nextLeast = 0;
    this.#mostStart = this.#members.length;
    this.#mostEnd = this.#members.length;
    this.#mostLoad = most + 1;
    this.#nextMost = this.#members.length - 1;
    return most - least;
  }

  /** The member that takes the next partition; counts on its getting one. */
  takeLeastLoaded(): number {
    if (this.#nextLeast >= this.#leastEnd) {
      this.#leastLoad++;
      while (
        this.#leastEnd < this.#members.length &&
        this.#loads[this.#members[this.#leastEnd]!] === this.#leastLoad
      )
        this.#leastEnd++;
      this.#nextLeast = 0;
    }
    return this.#members[this.#nextLeast++]!;
  }

  /** The member that gives up the next partition, or -1 if none is left; counts on its losing one. */
  takeMostLoaded(): number {
    if (this.#nextMost < this.#mostStart) {
      // A range whose members were all excluded begins with the next member, whatever its load.
      if (this.#mostEnd <= this.#mostStart && this.#mostStart > 0)
        this.#mostLoad = this.#loads[this.#members[this.#mostStart - 1]!]!;
      else this.#mostLoad--;
      while (this.#mostStart > 0 && this.#loads[this.#members[this.#mostStart - 1]!] === this.#mostLoad)
        this.#mostStart--;
      this.#nextMost = this.#mostEnd - 1;
    }
    if (this.#nextMost < 0) return -1;
    return this.#members[this.#nextMost--]!;
  }

  /** The member that `takeMostLoaded` returned last has nothing to give up. */
  excludeMostLoaded(): void {
    const position = this.#nextMost + 1;
    const last = this.#mostEnd - 1;
    [this.#members[position], this.#members[last]] = [this.#members[last]!, this.#members[position]!];
    this.#mostEnd--;
  }

  /** Whether moving another partition would change nothing for the better. */
  get isBalanced(): boolean {
    return this.#mostLoad - this.#leastLoad <= 1;
  }
}
