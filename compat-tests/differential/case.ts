import type { ApiKeyName } from '../../src/protocol/api-keys.ts';
import type { Uuid } from '../../src/protocol/wire/types.ts';

export type Body = Record<string, unknown>;

/** What a request may be made of: the answers that the same broker has given. */
export interface Answers {
  readonly version: number;
  /** What a case before saved under this name; `$v` in it stands for the version. */
  saved<T>(name: string): T;
  /** The id of a topic that exists on this broker. */
  topicId(name: string): Uuid;
  /** A data directory of this broker, by its position. */
  logDir(position: number): string;
}

export interface CaseOptions {
  /** Only these versions, first and last; all that both brokers serve when absent. */
  readonly versions?: readonly [first: number, last: number];
  /** Fields of the answer, by name, that requests after this one need: each is saved as its name, and the first of its kind counts. */
  readonly save?: Readonly<Record<string, string>>;
  /** Names of fields of the answer that are not compared here, and why. */
  readonly except?: { readonly fields: readonly string[]; readonly because: string };
  /** Each broker is asked again until its answer is so: what it has to do before, it does in the background. */
  readonly until?: (answer: Body) => boolean;
  /** Both answer differently, and are meant to: why. It fails when they no longer do. */
  readonly differs?: string;
  /** The request gets no answer (acks=0): compared is whether the connection goes on. */
  readonly unanswered?: true;
}

/** One call, made in each version to both brokers. In every string of the request `$v` stands for the version. */
export interface Case extends CaseOptions {
  readonly name: string;
  readonly api: ApiKeyName;
  readonly request: Body | ((answers: Answers) => Body);
}

/** Calls that belong together, in their order. */
export interface Chapter {
  readonly title: string;
  readonly cases: readonly Case[];
}

/** Collects a chapter's cases: `call('CreateTopics', 'a name', { topics: [...] })`. */
export function chapter(title: string, write: (call: AddCase) => void): Chapter {
  const cases: Case[] = [];
  write((api, name, request, options = {}) =>
    cases.push({ api, name: `${api}: ${name}`, request, ...options }),
  );
  return { title, cases };
}

export type AddCase = (
  api: ApiKeyName,
  name: string,
  request: Case['request'],
  options?: CaseOptions,
) => void;
