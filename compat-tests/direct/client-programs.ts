import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Child } from '../harness/child.ts';

/** Processes of one client program of a suite; whoever makes them ends those that are left. */
export class ClientPrograms {
  readonly #file: string;
  readonly #running = new Set<Child>();

  /** @param name of the program beside this file, without `.child.js` */
  constructor(name: string) {
    this.#file = fileURLToPath(new URL(`./${name}.child.js`, import.meta.url));
  }

  start(...args: readonly string[]): Child {
    const one = new Child([process.execPath, this.#file, ...args]);
    this.#running.add(one);
    return one;
  }

  /** Resolves when it has ended as it should. */
  async ended(one: Child): Promise<void> {
    const { code } = await one.ended;
    this.#running.delete(one);
    assert.equal(code, 0, one.output.slice(-3000));
  }

  async kill(one: Child): Promise<void> {
    await one.kill('SIGKILL');
    this.#running.delete(one);
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.#running].map((one) => this.kill(one)));
  }
}
