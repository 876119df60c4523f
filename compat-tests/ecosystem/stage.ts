import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, type BrokerOptions, startBroker } from '../harness/broker.ts';
import { Child } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';

/** What the tests of a program have: a gateway, a directory, and the program, which is killed in the end. */
export class Stage {
  broker!: Broker;
  dir!: string;
  #program: Child | null = null;

  /** For the `describe` that calls it. @param name of the directory */
  static set(name: string, toolchains: readonly string[], options: BrokerOptions = {}): Stage {
    const stage = new Stage();
    before(async function () {
      for (const toolchain of toolchains) requireToolchain(this, toolchain);
      stage.dir = mkdtempSync(join(tmpdir(), `kafabric-${name}-`));
      stage.broker = await startBroker(options);
    });
    after(async () => {
      await stage.#program?.kill('SIGKILL');
      await stage.broker?.stop();
      if (stage.dir) rmSync(stage.dir, { recursive: true, force: true });
    });
    return stage;
  }

  /** The program that runs, or ran last. */
  get program(): Child {
    return this.#program!;
  }

  /** Starts the program; it must not be running. */
  start(command: string[], env: Record<string, string> = {}): void {
    this.#program = new Child(command, env);
  }

  /** @throws Error with the program's output when it has ended by itself */
  assertRuns(): void {
    if (!this.program.running)
      throw new Error(`the program ${this.program.end}:\n${this.program.output.slice(-6000)}`);
  }
}
