import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The kinds of telemetry, by their names in OTLP's paths. */
export const signals = ['logs', 'metrics', 'traces'] as const;
export type Signal = (typeof signals)[number];

/** A request of OTLP in JSON with one log record, data point or span for each number. */
export function otlpRequest(signal: Signal, numbers: number[]): object {
  const time = (number: number) => `${1_700_000_000 + number}000000000`;
  switch (signal) {
    case 'logs': {
      const logRecords = numbers.map((number) => ({
        timeUnixNano: time(number),
        body: { stringValue: `${number}` },
      }));
      return { resourceLogs: [{ scopeLogs: [{ logRecords }] }] };
    }
    case 'metrics': {
      const dataPoints = numbers.map((number) => ({ timeUnixNano: time(number), asInt: `${number}` }));
      return { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', gauge: { dataPoints } }] }] }] };
    }
    case 'traces': {
      const spans = numbers.map((number) => ({
        traceId: number.toString(16).padStart(32, 'a'),
        spanId: number.toString(16).padStart(16, 'b'),
        name: `${number}`,
        kind: 1,
        startTimeUnixNano: time(number),
        endTimeUnixNano: time(number + 1),
      }));
      return { resourceSpans: [{ scopeSpans: [{ spans }] }] };
    }
  }
}

/** The values that `otlpRequest` has put there, wherever in a request they are by now. */
function numbersOf(signal: Signal, value: unknown): number[] {
  if (Array.isArray(value)) return value.flatMap((item) => numbersOf(signal, item));
  if (typeof value !== 'object' || value === null) return [];
  const { body, asInt, spanId, name } = value as Record<string, unknown>;
  if (signal === 'logs' && body) return [Number((body as { stringValue: string }).stringValue)];
  if (signal === 'metrics' && asInt !== undefined) return [Number(asInt)];
  if (signal === 'traces' && spanId) return [Number(name)];
  return Object.values(value).flatMap((item) => numbersOf(signal, item));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString());
}

/** Where telemetry ends: a server of OTLP over HTTP, in JSON, that keeps the numbers that arrive. */
export class OtlpSink {
  readonly received: Record<Signal, Set<number>> = {
    logs: new Set(),
    metrics: new Set(),
    traces: new Set(),
  };
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const signal = request.url!.replace('/v1/', '') as Signal;
      const numbers = numbersOf(signal, await bodyOf(request));
      for (const number of numbers) this.received[signal].add(number);
      response.setHeader('content-type', 'application/json');
      response.end('{}');
    });
  }

  static async start(): Promise<OtlpSink> {
    const sink = new OtlpSink();
    await new Promise<void>((done) => sink.#server.listen(0, '127.0.0.1', done));
    return sink;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
