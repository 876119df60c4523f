import { apiName } from '../../protocol/api-keys.ts';
import type { AnyHandler } from './handler.ts';

/** The served APIs by key; ApiVersions answers from it, so that what is announced cannot drift from what is served. */
export class HandlerRegistry {
  readonly #handlers = new Map<number, AnyHandler>();

  constructor(handlers: readonly AnyHandler[]) {
    for (const handler of handlers) this.add(handler);
  }

  /** @throws Error when the key is taken or the codecs lack a version of the range */
  add(handler: AnyHandler): void {
    const { apiKey, minVersion, maxVersion, request } = handler;
    const name = apiName(apiKey) ?? `API ${apiKey}`;
    if (this.#handlers.has(apiKey)) throw new Error(`two handlers for ${name}`);
    if (minVersion > maxVersion || maxVersion > request.maxVersion) {
      throw new Error(
        `${name} ${minVersion}-${maxVersion} cannot be served: the codec ends at ${request.maxVersion}`,
      );
    }
    this.#handlers.set(apiKey, handler);
  }

  get(apiKey: number): AnyHandler | undefined {
    return this.#handlers.get(apiKey);
  }

  /** In the order of their keys. */
  all(): AnyHandler[] {
    return [...this.#handlers.values()].sort((a, b) => a.apiKey - b.apiKey);
  }
}
