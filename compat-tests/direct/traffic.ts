import type { Client, Path } from '../../src/client/index.ts';
import { until } from '../harness/child.ts';
import type { DirectGateway } from './fixture.ts';
import { roundTrip } from './round-trip.ts';

const EVENTS = 8;

/** A client that pushes and pulls, and compares, all the time: what others do must not reach it. */
export class Traffic {
  readonly #client: Client;
  readonly #running: Promise<void>;
  #rounds = 0;
  #failure: unknown = null;
  #isEnding = false;

  private constructor(client: Client, round: () => Promise<unknown>) {
    this.#client = client;
    this.#running = this.#run(round);
  }

  static async start(gateway: DirectGateway, path: Path, name: string): Promise<Traffic> {
    const client = await gateway.connect({ path });
    const topic = await client.createTopic(name, {
      configs: { 'retention.bytes': '100000000', 'segment.bytes': '50000000' },
    });
    return new Traffic(client, () => roundTrip(client, topic, EVENTS));
  }

  async #run(round: () => Promise<unknown>): Promise<void> {
    try {
      while (!this.#isEnding) {
        await round();
        this.#rounds++;
      }
    } catch (error) {
      this.#failure = error;
    }
  }

  /** Resolves when so many more rounds, begun after the call, are through. Rejects with what went wrong since the start. */
  async goesOn(rounds: number): Promise<void> {
    const enough = this.#rounds + 1 + rounds;
    await until('others are served', 60_000, () => {
      if (this.#failure !== null) throw this.#failure;
      return this.#rounds >= enough;
    });
  }

  async stop(): Promise<void> {
    this.#isEnding = true;
    await this.#running;
    this.#client.close();
    if (this.#failure !== null) throw this.#failure;
  }
}
