import { ErrorCode } from '../protocol/errors.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import type { Cluster, CoordinatorKind, Purpose } from './cluster.ts';
import { DirectError } from './errors.ts';

/** Answers after which somebody else has to be asked, or the same one later. */
const MOVED: ReadonlySet<number> = new Set([
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
]);

/** Whether a coordinator says that it is none (any more, or yet). */
export function isMoved(errorCode: number): boolean {
  return MOVED.has(errorCode);
}

export interface CoordinatorCall<Res> {
  readonly version: number;
  /** For people, in errors. */
  readonly doing: string;
  /** The error codes of an answer, wherever it has them. */
  readonly errorsOf: (response: Res) => Iterable<number>;
  /** Default: the cluster's. */
  readonly timeoutMs?: number;
}

/** The coordinator of one group or transactional id: found once, and again when it says that it is another, or is gone. */
export class CoordinatorLink {
  readonly #cluster: Cluster;
  readonly #kind: CoordinatorKind;
  readonly #key: string;
  readonly #purpose: Purpose;

  /** @param purpose whose connections are used: requests that wait for other members need their own */
  constructor(cluster: Cluster, kind: CoordinatorKind, key: string, purpose: Purpose) {
    this.#cluster = cluster;
    this.#kind = kind;
    this.#key = key;
    this.#purpose = purpose;
  }

  /** Rejects with a DirectError when there is no answer; what an answer says is the caller's to judge. */
  async call<Req, Res>(
    request: MessageCodec<Req>,
    response: MessageCodec<Res>,
    body: Partial<Req>,
    { version, doing, errorsOf, timeoutMs }: CoordinatorCall<Res>,
  ): Promise<Res> {
    try {
      const connection = await this.#cluster.coordinator(this.#kind, this.#key, this.#purpose);
      const options = timeoutMs === undefined ? { version, doing } : { version, doing, timeoutMs };
      const answer = await connection.call(request, response, body, options);
      for (const errorCode of errorsOf(answer)) if (isMoved(errorCode)) this.#forget();
      return answer;
    } catch (error) {
      if (error instanceof DirectError && (error.code === 'CONNECTION' || error.code === 'TIMEOUT'))
        this.#forget();
      throw error;
    }
  }

  #forget(): void {
    this.#cluster.forgetCoordinator(this.#kind, this.#key);
  }
}
