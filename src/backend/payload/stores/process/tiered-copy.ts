import { dirname } from 'node:path';
import { type Clock, isPausing } from '../../../../util/clock.ts';
import type { MoveTarget } from '../../ports.ts';
import type { TierFileOwner } from '../../tiers/tier-file.ts';
import type { TierPath } from '../../tiers/tier-path.ts';
import type { StoredFile } from './stored-file.ts';
import { SEALED_SUFFIX } from './stored-file-parts.ts';

/** How long a gateway may take to end a segment before it is asked again. */
const ASK_AGAIN_MS = 10_000;

/** What the file's gateway has to say about it. */
interface GatewayWishes {
  /** The tier in which it is to stay; null: none. */
  pin(): number | null;
  /** Has the gateway end the segment, so that the file can be moved. */
  askToEnd(): void;
}

/** The file of a gateway in the tiers of a store: `<tier>/<cluster>.<node>/<partition>/<segment>-<incarnation>.payload`. */
export class TieredCopy implements TierFileOwner {
  #file: StoredFile | null = null;
  readonly #gateway: string;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #wishes: GatewayWishes;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(gateway: string, name: string, clock: Clock, wishes: GatewayWishes) {
    this.#gateway = gateway;
    this.#name = name;
    this.#clock = clock;
    this.#wishes = wishes;
  }

  get pin(): number | null {
    return this.#wishes.pin();
  }

  get segments(): this | null {
    return this.#file === null ? null : this;
  }

  holds(file: StoredFile): void {
    this.#file = file;
  }

  pathIn(at: TierPath): string {
    return `${at.directoryOf(this.#gateway)}/${this.#name}${SEALED_SUFFIX}`;
  }

  async prepare(at: TierPath): Promise<void> {
    await at.prepare(this.#gateway);
    await at.prepare(`${this.#gateway}/${dirname(this.#name)}`);
  }

  move(_segmentId: number, target: MoveTarget): Promise<boolean> {
    return this.#file!.move(target);
  }

  complete(): void {
    const now = this.#clock.now();
    if (isPausing(this.#askedAtMs + ASK_AGAIN_MS, now, ASK_AGAIN_MS)) return;
    this.#askedAtMs = now;
    this.#wishes.askToEnd();
  }
}
