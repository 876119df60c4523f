import { ApiKey, type ApiKeyName } from '../../src/protocol/api-keys.ts';
import { ErrorCode } from '../../src/protocol/errors.ts';
import { apiVersionsRequest } from '../../src/protocol/generated/api-versions-request.ts';
import { apiVersionsResponse } from '../../src/protocol/generated/api-versions-response.ts';
import { requestCodecs, responseCodecs } from '../../src/protocol/generated/index.ts';
import { initProducerIdRequest } from '../../src/protocol/generated/init-producer-id-request.ts';
import { initProducerIdResponse } from '../../src/protocol/generated/init-producer-id-response.ts';
import { metadataRequest } from '../../src/protocol/generated/metadata-request.ts';
import { metadataResponse } from '../../src/protocol/generated/metadata-response.ts';
import { ProtocolError } from '../../src/protocol/wire/errors.ts';
import { Reader } from '../../src/protocol/wire/reader.ts';
import type { Uuid } from '../../src/protocol/wire/types.ts';
import { Writer } from '../../src/protocol/wire/writer.ts';
import { patience, sleep, until } from '../harness/child.ts';
import { WireClient } from '../harness/wire-client.ts';
import type { Answers, Body, Case } from './case.ts';

/** What a broker did with a request. */
export type Outcome =
  | { readonly kind: 'answer'; readonly body: Body }
  | { readonly kind: 'closed' | 'no answer' | 'goes on' };

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

const NO_ID = 'AAAAAAAAAAAAAAAAAAAAAA';
const PATIENCE_MS = 5_000 * patience;
const LONG_PATIENCE_MS = 30_000 * patience;
const PAUSE_MS = 100;
const METADATA_VERSION = 12;

/** One of the two brokers: a connection to it, and what it has said so far. */
export class Side {
  readonly name: string;
  readonly bootstrap: string;
  readonly dataDirs: readonly string[];
  readonly versions = new Map<number, VersionRange>();
  readonly topicNames = new Map<Uuid, string>();
  readonly #topicIds = new Map<string, Uuid>();
  readonly #saved = new Map<string, unknown>();
  #client: WireClient | null = null;

  constructor(name: string, bootstrap: string, dataDirs: readonly string[]) {
    this.name = name;
    this.bootstrap = bootstrap;
    this.dataDirs = dataDirs;
  }

  /** Learns which versions the broker serves. */
  async open(): Promise<void> {
    const client = await this.#connection();
    const { apiKeys } = await client.call([apiVersionsRequest, apiVersionsResponse], 4, {
      clientSoftwareName: 'differential',
      clientSoftwareVersion: '1',
    });
    for (const { apiKey, minVersion: min, maxVersion: max } of apiKeys)
      this.versions.set(apiKey, { min, max });
    // The first producer id of all may have to be asked for twice.
    const codecs = [initProducerIdRequest, initProducerIdResponse] as const;
    await until('producer ids', 30_000, async () => {
      const { errorCode } = await client.call(codecs, 4, {
        transactionalId: null,
        transactionTimeoutMs: 1000,
      });
      return errorCode === ErrorCode.NONE;
    });
  }

  close(): void {
    this.#client?.close();
  }

  /** The request of a case in a version; null if the version cannot carry it. */
  requestOf({ api, request }: Case, version: number): Body | null {
    const codec = requestCodecs.get(ApiKey[api])!;
    const body = typeof request === 'function' ? request(this.#answers(version)) : request;
    const filled = codec.create(withVersion(body, version) as Body);
    try {
      codec.write(new Writer(), filled, version);
    } catch (error) {
      if (error instanceof ProtocolError) return null;
      throw error;
    }
    return filled;
  }

  /** Sends a request and says what came of it; again and again while the case waits for another answer. */
  async ask(test: Case, version: number, request: Body): Promise<Outcome> {
    const { until: isAwaited } = test;
    for (const deadline = Date.now() + LONG_PATIENCE_MS; ; await sleep(PAUSE_MS)) {
      const outcome = await this.#askOnce(test, version, request);
      const goesOn = isAwaited !== undefined && outcome.kind === 'answer' && !isAwaited(outcome.body);
      if (!goesOn || Date.now() > deadline) return outcome;
    }
  }

  async #askOnce({ api, unanswered }: Case, version: number, request: Body): Promise<Outcome> {
    const client = await this.#connection();
    if (!unanswered) return this.#exchange(client, api, version, request);
    client.sendUnanswered(requestCodecs.get(ApiKey[api])!, version, request);
    const next = await this.#exchange(client, 'ApiVersions', 0, {});
    return next.kind === 'answer' ? { kind: 'goes on' } : next;
  }

  async #exchange(client: WireClient, api: ApiKeyName, version: number, request: Body): Promise<Outcome> {
    const apiKey = ApiKey[api];
    const silence = deadline();
    let bytes: Uint8Array | null;
    try {
      bytes = await Promise.race([
        client.exchange(requestCodecs.get(apiKey)!, version, request),
        silence.passed,
      ]);
    } catch {
      if (client === this.#client) this.#client = null;
      return { kind: 'closed' };
    } finally {
      silence.cancel();
    }
    if (bytes === null) {
      client.close();
      if (client === this.#client) this.#client = null;
      return { kind: 'no answer' };
    }
    const codec = responseCodecs.get(apiKey)!;
    // A version that is too high for ApiVersions is answered in version 0.
    const served = this.versions.get(apiKey)?.max ?? version;
    const answered = api === 'ApiVersions' && version > served ? 0 : version;
    const body = codec.read(new Reader(bytes), answered) as Body;
    const writer = new Writer();
    codec.write(writer, body, answered);
    const again = Buffer.from(writer.finishBytes());
    if (!again.equals(bytes))
      throw new Error(
        `${this.name}: ${api} ${version} is ${Buffer.from(bytes).toString('hex')}, encoded again ${again.toString('hex')}`,
      );
    this.#learnIds(body);
    return { kind: 'answer', body };
  }

  /** Topics are known by the ids with which answers name them. */
  #learnIds(value: unknown): void {
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return;
    const { name, topicId } = value as { name?: unknown; topicId?: unknown };
    if (typeof name === 'string' && name !== '' && typeof topicId === 'string' && topicId !== NO_ID)
      this.topicNames.set(topicId, name);
    for (const inner of Object.values(value)) this.#learnIds(inner);
  }

  save(fields: Readonly<Record<string, string>>, version: number, outcome: Outcome): void {
    if (outcome.kind !== 'answer') return;
    for (const [field, name] of Object.entries(fields)) {
      const value = firstOf(outcome.body, field);
      if (value !== undefined) this.#saved.set(withVersion(name, version) as string, value);
    }
  }

  /** Reads the ids of all topics; which there are, and how many partitions each has. */
  async learnTopics(): Promise<string> {
    const client = await this.#connection();
    const codecs = [metadataRequest, metadataResponse] as const;
    const { topics } = await client.call(codecs, METADATA_VERSION, { topics: null });
    for (const { name, topicId } of topics) {
      this.topicNames.set(topicId, name!);
      this.#topicIds.set(name!, topicId);
    }
    const found = topics.filter(({ isInternal }) => !isInternal);
    return found
      .map(({ name, partitions }) => `${name} ${partitions.length}`)
      .sort()
      .join();
  }

  #answers(version: number): Answers {
    return {
      version,
      saved: <T>(name: string) => {
        const key = withVersion(name, version) as string;
        if (!this.#saved.has(key)) throw new Error(`${this.name} has not answered with ${key}`);
        return this.#saved.get(key) as T;
      },
      topicId: (name) => {
        const id = this.#topicIds.get(withVersion(name, version) as string);
        if (id === undefined) throw new Error(`${this.name} has no topic ${name}`);
        return id;
      },
      logDir: (position) => this.dataDirs[position] ?? this.dataDirs[0]!,
    };
  }

  async #connection(): Promise<WireClient> {
    this.#client ??= await WireClient.connect(this.bootstrap);
    return this.#client;
  }
}

function deadline(): { passed: Promise<null>; cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), PATIENCE_MS);
  });
  return { passed, cancel: () => clearTimeout(timer) };
}

/** The value with the version in place of `$v` in every string. */
function withVersion(value: unknown, version: number): unknown {
  if (typeof value === 'string') return value.replaceAll('$v', String(version));
  if (Array.isArray(value)) return value.map((item) => withVersion(item, version));
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, withVersion(field, version)]));
}

/** The first field of this name, wherever it is. */
function firstOf(value: unknown, field: string): unknown {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return undefined;
  if (!Array.isArray(value) && field in value) return (value as Body)[field];
  for (const inner of Object.values(value)) {
    const found = firstOf(inner, field);
    if (found !== undefined) return found;
  }
  return undefined;
}
