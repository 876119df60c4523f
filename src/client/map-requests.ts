import { type DirectMapView, directMapRequest } from '../protocol/generated/direct-map-request.ts';
import {
  type DirectMapAllocated,
  type DirectMapViewResponse,
  directMapResponse,
} from '../protocol/generated/direct-map-response.ts';
import type { Connection } from './connection.ts';
import { brokerError } from './errors.ts';

/** Requests under way at the same time: what is asked for meanwhile goes together in the next. */
const MAX_CALLS = 2;
/** One more gives back only: what those under way wait for may be just that. */
const MAX_RELEASE_CALLS = MAX_CALLS + 1;
/** Of one request: well below what gateways take. */
const MAX_ITEMS = 256;

/** One thing that is asked for. */
interface Asked<Request, Answer> {
  readonly request: Request;
  readonly doing: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Asks a gateway for memory and views, many in one request, and gives them back. */
export class MapRequests {
  readonly #connection: Pick<Connection, 'call'>;
  readonly #attachmentId: bigint;
  readonly #allocations: Asked<bigint, DirectMapAllocated | undefined>[] = [];
  readonly #views: Asked<DirectMapView, DirectMapViewResponse | undefined>[] = [];
  readonly #releases: number[] = [];
  #calls = 0;
  #isDue = false;

  constructor(connection: Pick<Connection, 'call'>, attachmentId: bigint) {
    this.#connection = connection;
    this.#attachmentId = attachmentId;
  }

  /** Rejects with a DirectError when there is no answer; the answer may be an error. */
  allocate(bytes: bigint, doing: string): Promise<DirectMapAllocated | undefined> {
    return this.#ask(this.#allocations, bytes, doing);
  }

  /** As `allocate`. */
  view(wanted: DirectMapView, doing: string): Promise<DirectMapViewResponse | undefined> {
    return this.#ask(this.#views, wanted, doing);
  }

  /** It goes with what is asked for next, at the end of this turn of the event loop at the latest. */
  release(lease: number): void {
    this.#releases.push(lease);
    if (this.#releases.length > 1) return;
    // The memory is out of reach by then.
    setImmediate(() => this.#pump());
  }

  #ask<Request, Answer>(
    waiting: Asked<Request, Answer | undefined>[],
    request: Request,
    doing: string,
  ): Promise<Answer | undefined> {
    return new Promise((resolve, reject) => {
      waiting.push({ request, doing, resolve, reject });
      if (this.#isDue) return;
      // What is asked for in one go is one request.
      this.#isDue = true;
      queueMicrotask(() => {
        this.#isDue = false;
        this.#pump();
      });
    });
  }

  #pump(): void {
    while (this.#mayCall()) {
      const items = this.#calls < MAX_CALLS ? MAX_ITEMS : 0;
      this.#calls++;
      void this.#call(items).finally(() => {
        this.#calls--;
        this.#pump();
      });
    }
  }

  #mayCall(): boolean {
    const isAsked = this.#allocations.length + this.#views.length > 0;
    if (this.#calls < MAX_CALLS) return isAsked || this.#releases.length > 0;
    return this.#calls < MAX_RELEASE_CALLS && this.#releases.length > 0;
  }

  /** @param items of each kind that are asked for at most */
  async #call(items: number): Promise<void> {
    const allocations = this.#allocations.splice(0, items);
    const views = this.#views.splice(0, items);
    const { doing } = allocations[0] ?? views[0] ?? { doing: 'release' };
    try {
      const answer = await this.#connection.call(
        directMapRequest,
        directMapResponse,
        {
          attachmentId: this.#attachmentId,
          allocate: allocations.map(({ request }) => request),
          views: views.map(({ request }) => request),
          release: this.#releases.splice(0),
        },
        { doing },
      );
      if (answer.errorCode !== 0) throw brokerError(answer.errorCode, answer.errorMessage, doing);
      for (const [i, { resolve }] of allocations.entries()) resolve(answer.allocated[i]);
      for (const [i, { resolve }] of views.entries()) resolve(answer.views[i]);
    } catch (error) {
      for (const { reject } of [...allocations, ...views]) reject(error);
    }
  }
}
