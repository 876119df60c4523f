import type { LogError } from '../../../backend/log/errors.ts';
import { ErrorCode } from '../../../protocol/errors.ts';
import { type ProducerIdentity, TransactionVersion } from '../transaction.ts';
import { type Broker, PARTITIONS, TOPIC, type World } from './world.ts';

const TIMEOUT_MS = 20_000;
const RETRIABLE: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.CONCURRENT_TRANSACTIONS,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.KAFKA_STORAGE_ERROR,
]);

/** What a client knows of one of its transactions. */
export interface Attempt {
  readonly tag: string;
  /** Partitions, once for each record whose arrival was confirmed. */
  readonly confirmed: number[];
  /** What EndTxn was asked for, and whether that was confirmed. */
  end: 'none' | 'commit' | 'abort' | 'committed' | 'aborted';
}

/** The client has to begin with a new instance. */
class GivenUp extends Error {}

/** A producer that writes transactions for ever, by the classic or the newer protocol, and is replaced when it fails. */
export class SimulatedProducer {
  readonly attempts: Attempt[] = [];
  readonly #world: World;
  readonly #transactionalId: string;
  readonly #name: string;
  readonly #version: TransactionVersion;
  #identity: ProducerIdentity = { producerId: -1n, producerEpoch: -1 };
  #sequences = new Map<number, number>();
  #stopped = false;
  #transactions = 0;

  /** `name` tells producers with the same transactional id apart. */
  constructor(world: World, transactionalId: string, name: string, version: TransactionVersion) {
    this.#name = name;
    this.#world = world;
    this.#transactionalId = transactionalId;
    this.#version = version;
  }

  /** Runs until `stop`; another instance with the same transactional id may run at the same time. */
  async run(): Promise<void> {
    const { random } = this.#world;
    while (!this.#stopped) {
      try {
        await this.#initialize();
        while (!this.#stopped) {
          await this.#transaction();
          // Every now and then it dies between two transactions, or is silent for longer than its time-out.
          if (random.chance(0.05)) break;
          await this.#world.pause(random.chance(0.02) ? TIMEOUT_MS + 5_000 : random.integer(0, 50));
        }
      } catch (error) {
        if (!(error instanceof GivenUp)) throw error;
        await this.#world.pause(random.integer(0, 200));
      }
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #initialize(): Promise<void> {
    // Some go on with what they had, others know nothing of it.
    const isKnown = this.#identity.producerId >= 0n && this.#world.random.chance(0.4);
    const expected = isKnown ? this.#identity : null;
    const request = { transactionalId: this.#transactionalId, timeoutMs: TIMEOUT_MS, expected };
    const found = await this.#untilAnswered(({ coordinator }) => coordinator.initProducer(request));
    if (found.errorCode !== ErrorCode.NONE) throw new GivenUp();
    this.#goOnAs(found as ProducerIdentity);
  }

  #goOnAs({ producerId, producerEpoch }: ProducerIdentity): void {
    if (producerId !== this.#identity.producerId || producerEpoch !== this.#identity.producerEpoch)
      this.#sequences.clear();
    this.#identity = { producerId, producerEpoch };
  }

  async #transaction(): Promise<void> {
    const { random } = this.#world;
    const tag = `${this.#name}/${this.#transactions++}`;
    const attempt: Attempt = { tag, confirmed: [], end: 'none' };
    this.attempts.push(attempt);
    try {
      for (let records = random.integer(1, 5); records > 0; records--) {
        const partition = random.below(PARTITIONS);
        await this.#produce(tag, partition);
        attempt.confirmed.push(partition);
      }
    } catch (error) {
      // Whoever has a new epoch for each transaction may abort and go on, also when somebody has aborted it meanwhile.
      const givesUp = this.#version === TransactionVersion.classic || random.chance(0.3);
      if (!(error instanceof GivenUp) || givesUp) throw error;
      return this.#end(attempt, false);
    }
    // It dies with an open transaction.
    if (random.chance(0.05)) throw new GivenUp();
    await this.#end(attempt, random.chance(0.7));
  }

  async #produce(tag: string, partition: number): Promise<void> {
    const identity = this.#identity;
    const place = { topic: TOPIC, partition };
    const isClassic = this.#version === TransactionVersion.classic;
    if (isClassic) {
      const added = await this.#untilAnswered(async ({ coordinator }) => ({
        errorCode: await coordinator.addPartitions(this.#transactionalId, identity, [place], this.#version),
      }));
      if (added.errorCode !== ErrorCode.NONE) throw new GivenUp();
    }
    const sequence = this.#sequences.get(partition) ?? 0;
    const write = {
      ...identity,
      transactionalId: this.#transactionalId,
      partitions: [place],
      addsPartitions: !isClassic,
    };
    const produced = await this.#untilAnswered(async ({ gate, partitions }) => {
      const admitted = gate.admit(write);
      const append = async (error: ErrorCode) => {
        if (error !== ErrorCode.NONE) return { errorCode: error };
        try {
          await partitions[partition]!.produce(identity, sequence, tag, isClassic ? 'client' : 'transaction');
          return { errorCode: ErrorCode.NONE };
        } catch (failure) {
          return { errorCode: (failure as LogError).code as ErrorCode };
        }
      };
      return admitted instanceof Promise ? admitted.then(append) : append(admitted);
    });
    if (produced.errorCode !== ErrorCode.NONE) throw new GivenUp();
    this.#sequences.set(partition, sequence + 1);
  }

  async #end(attempt: Attempt, commit: boolean): Promise<void> {
    attempt.end = commit ? 'commit' : 'abort';
    const request = { ...this.#identity, commit, version: this.#version };
    const ended = await this.#untilAnswered(({ coordinator }) =>
      coordinator.end(this.#transactionalId, request),
    );
    if (ended.errorCode !== ErrorCode.NONE) throw new GivenUp();
    attempt.end = commit ? 'committed' : 'aborted';
    if (this.#version !== TransactionVersion.classic) this.#goOnAs(ended as ProducerIdentity);
  }

  async #untilAnswered<T extends { errorCode: ErrorCode }>(
    action: (broker: Broker) => Promise<T>,
  ): Promise<T> {
    const { random } = this.#world;
    for (let tries = 0; tries < 30; tries++) {
      // The classic protocol cannot tell an end that comes late from the end of the next transaction, which is why there is a newer one.
      const late = this.#version !== TransactionVersion.classic;
      const answer = await this.#world.request(action, late);
      if (answer !== null && !RETRIABLE.has(answer.errorCode)) return answer;
      if (this.#stopped && tries > 10) break;
      await this.#world.pause(random.integer(5, 100));
    }
    throw new GivenUp();
  }
}
