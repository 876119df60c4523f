import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { S3Config } from '../../../../config/index.ts';
import { S3_CONFIG } from './testing.ts';

export interface AskedRequest {
  readonly method: string;
  /** With its query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Grows while it comes. */
  readonly body: Buffer[];
}

type Answer = (response: ServerResponse, request: AskedRequest) => void;

/** What the AWS SDK takes for an object store, for tests: it answers as they say, and remembers what it was asked. */
export class TestEndpoint {
  /** Of each request, when its headers are there. */
  answer: Answer = () => {};
  readonly asked: AskedRequest[] = [];
  /** For what a test has on disk; removed at `end`. */
  readonly directory = mkdtempSync(join(tmpdir(), 's3-endpoint-'));
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((incoming, response) => {
      const { method = '', url = '', headers } = incoming;
      const request: AskedRequest = { method, url, headers, body: [] };
      this.asked.push(request);
      incoming.on('data', (chunk: Buffer) => request.body.push(chunk));
      this.answer(response, request);
    });
  }

  static async start(): Promise<TestEndpoint> {
    const endpoint = new TestEndpoint();
    await new Promise<void>((resolve) => endpoint.#server.listen(0, '127.0.0.1', resolve));
    return endpoint;
  }

  /** For a client of it. */
  config(more: Partial<S3Config> = {}): S3Config {
    return {
      ...S3_CONFIG,
      endpoint: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      cacheDirectory: this.directory,
      requestTimeoutMs: 30_000,
      ...more,
    };
  }

  /** Resolves when the next request is there, which gets no answer. */
  silence(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.answer = () => resolve();
    });
  }

  async end(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.directory, { recursive: true });
  }
}

/** An error, as object stores say it. */
export function refuse(status: number, code: string): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
  };
}
