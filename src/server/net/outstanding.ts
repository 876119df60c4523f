interface Waiting {
  readonly bytes: number;
  readonly grant: () => void;
  readonly fail: (error: Error) => void;
}

/**
 * Memory that is limited: of one connection what its answers hold until the client has taken them, of all what their large requests take. Who would
 * exceed the limit waits, first come first served; one that is larger than the limit has it for itself.
 */
export class Outstanding {
  readonly maxBytes: number;
  readonly #waiting: Waiting[] = [];
  #bytes = 0;
  #ended = false;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** A promise if there is no room yet, which is rejected when the connection ends. What was acquired is given back by `release`. */
  acquire(bytes: number): Promise<void> | undefined {
    if (this.#ended) return Promise.reject(ended());
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#bytes += bytes;
      return undefined;
    }
    return new Promise((grant, fail) => this.#waiting.push({ bytes, grant, fail }));
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes += next.bytes;
      next.grant();
    }
  }

  end(): void {
    this.#ended = true;
    for (const { fail } of this.#waiting.splice(0)) fail(ended());
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.maxBytes;
  }
}

function ended(): Error {
  return new Error('the connection has ended');
}
