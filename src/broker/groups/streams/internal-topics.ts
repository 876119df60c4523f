import type { ApiError } from '../../../protocol/errors.ts';
import type { CreatableTopic } from '../../../protocol/generated/create-topics-request.ts';
import type { StreamsGroupHeartbeatResponse } from '../../../protocol/generated/streams-group-heartbeat-response.ts';
import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { Status } from './status.ts';

/** Topics that are created at once, and errors that are remembered; others are asked for again with the next heartbeats. */
const TOPICS_MAX = 1_000;

/** Creates topics as CreateTopics does; one outcome for each. */
export type CreateTopics = (
  topics: readonly CreatableTopic[],
) => Promise<readonly { readonly name: string; readonly error: ApiError | null }[]>;

/** Creates the repartition and changelog topics that streams groups wait for, behind the answers of their members. */
export class InternalTopics {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #create: CreateTopics;
  readonly #underWay = new Set<string>();
  /** Why a topic could not be created, and until when that is not tried again. */
  readonly #errors = new Map<string, { readonly message: string; readonly untilMs: number }>();

  constructor(options: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly createTopics: CreateTopics;
  }) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#create = options.createTopics;
  }

  /**
   * Begins to create what is not being created and has not failed lately. The answer, which says that they are missing, gets the
   * failures; they are remembered for two of its intervals.
   */
  request(topics: readonly CreatableTopic[], response: StreamsGroupHeartbeatResponse): void {
    const now = this.#clock.now();
    const failed: string[] = [];
    const wanted: CreatableTopic[] = [];
    for (const topic of topics) {
      const error = this.#errors.get(topic.name);
      if (error !== undefined && now < error.untilMs) failed.push(`${topic.name} (${error.message})`);
      else if (!this.#underWay.has(topic.name) && this.#underWay.size < TOPICS_MAX) {
        this.#errors.delete(topic.name);
        this.#underWay.add(topic.name);
        wanted.push(topic);
      }
    }
    if (wanted.length > 0) void this.#createAll(wanted, 2 * response.heartbeatIntervalMs);
    if (failed.length === 0) return;
    for (const status of response.status ?? [])
      if (status.statusCode === Status.MISSING_INTERNAL_TOPICS)
        status.statusDetail += `; Creation failed: ${failed.join(', ')}.`;
  }

  async #createAll(topics: readonly CreatableTopic[], rememberMs: number): Promise<void> {
    const names = topics.map(({ name }) => name);
    this.#logger.info({ topics: names }, 'internal topics of a streams group are created');
    let errors: readonly { readonly name: string; readonly error: Error | null }[];
    try {
      errors = await this.#create(topics);
    } catch (error) {
      errors = names.map((name) => ({ name, error: error as Error }));
    }
    for (const { name, error } of errors) {
      if (error === null) continue;
      this.#logger.warn({ topic: name, err: error }, 'an internal topic of a streams group was not created');
      this.#remember(name, error.message, this.#clock.now() + rememberMs);
    }
    for (const name of names) this.#underWay.delete(name);
  }

  #remember(name: string, message: string, untilMs: number): void {
    this.#errors.delete(name);
    this.#errors.set(name, { message, untilMs });
    if (this.#errors.size > TOPICS_MAX) this.#errors.delete(this.#errors.keys().next().value!);
  }
}
