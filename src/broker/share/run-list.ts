import type { Run } from './in-flight.ts';

/** Runs that follow each other without a gap, ascending. */
export class RunList {
  #runs: Run[];

  constructor(runs: Run[]) {
    this.#runs = runs;
  }

  get all(): readonly Run[] {
    return this.#runs;
  }

  /** The offset behind the last; undefined without any. */
  get end(): bigint | undefined {
    const last = this.#runs[this.#runs.length - 1];
    return last && last.last + 1n;
  }

  /** The run must follow the last. */
  push(run: Run): void {
    this.#runs.push(run);
  }

  /** The runs that have offsets of the range, both ends are part of it, as they are now: the list may change meanwhile. */
  between(first: bigint, last: bigint): Run[] {
    const from = this.#indexOf(first);
    let to = from;
    while (to < this.#runs.length && this.#runs[to]!.first <= last) to++;
    return this.#runs.slice(from, to);
  }

  /** Makes the offsets from `first` to `last`, which are all of the run, a run of their own, which is `run` itself. */
  cut(run: Run, first: bigint, last: bigint): Run {
    if (run.first === first && run.last === last) return run;
    const index = this.#indexOf(run.first);
    const parts: Run[] = [];
    if (run.first < first) parts.push({ ...run, last: first - 1n });
    parts.push(run);
    if (run.last > last) parts.push({ ...run, first: last + 1n });
    for (const part of parts) if (part !== run) run.transition?.runs.push(part);
    run.first = first;
    run.last = last;
    this.#runs.splice(index, 1, ...parts);
    return run;
  }

  /** Takes out everything below the offset; a run that goes on above it is cut. */
  takeBelow(offset: bigint): Run[] {
    const [first] = this.#runs;
    if (first === undefined || first.first >= offset) return [];
    const straddling = this.#runs[this.#indexOf(offset - 1n)];
    if (straddling !== undefined && straddling.last >= offset)
      this.cut(straddling, straddling.first, offset - 1n);
    let count = 0;
    while (count < this.#runs.length && this.#runs[count]!.last < offset) count++;
    return this.#runs.splice(0, count);
  }

  /** Joins neighbours that are alike and are not about to change. */
  join(areAlike: (a: Run, b: Run) => boolean): void {
    const joined: Run[] = [];
    for (const run of this.#runs) {
      const last = joined[joined.length - 1];
      if (last !== undefined && last.transition === null && run.transition === null && areAlike(last, run))
        last.last = run.last;
      else joined.push(run);
    }
    this.#runs = joined;
  }

  /** Where the first run lies that ends at the offset or behind it. */
  #indexOf(offset: bigint): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#runs[middle]!.last < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
