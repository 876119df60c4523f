import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { errorInfo } from '../../protocol/errors.ts';
import type { NetMetrics, RequestMeasurement } from '../net/metrics.ts';
import { RequestTotals } from './request-totals.ts';

/** A number that is read when metrics are scraped, so that it costs nothing in between. */
export interface MetricSource {
  name: string;
  help: string;
  /** One value, or one for each value of `label`. */
  read(): number | ReadonlyMap<string, number>;
  label?: string;
  /** True for a number that only grows. */
  counter?: boolean;
}

/** A number that only grows. */
export function counter(name: string, help: string, read: () => number): MetricSource {
  return { name, help, read, counter: true };
}

/** The gateway's Prometheus metrics. Parts below the server give numbers to read; the network part reports as it goes. */
export class GatewayMetrics implements NetMetrics {
  readonly registry = new Registry();
  readonly #requests = new RequestTotals();
  readonly #errors: Counter<'api' | 'error'>;
  readonly #opened: Counter<'listener'>;
  readonly #closed: Counter<'listener' | 'reason'>;
  readonly #refused: Counter<'listener'>;
  readonly #rejected: Counter<'listener'>;

  constructor(version: string) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new Counter({ name, help, labelNames, registers });
    this.#requests.register(this.registry);
    this.#errors = counter(
      'kafabric_request_errors_total',
      'Error codes in responses, also those of single topics, partitions and groups.',
      ['api', 'error'],
    );
    this.#opened = counter('kafabric_connections_opened_total', 'Connections accepted.', ['listener']);
    this.#closed = counter('kafabric_connections_closed_total', 'Connections closed.', [
      'listener',
      'reason',
    ]);
    this.#refused = counter(
      'kafabric_connections_refused_total',
      'Connections over max.connections.per.ip.',
      ['listener'],
    );
    this.#rejected = counter(
      'kafabric_requests_rejected_total',
      'Requests that could not be read or are not served.',
      ['listener'],
    );
    new Gauge({ name: 'kafabric_info', help: 'Version.', labelNames: ['version'], registers }).set(
      { version },
      1,
    );
  }

  connectionOpened(listener: string): void {
    this.#opened.inc({ listener });
  }

  connectionClosed(listener: string, reason: string): void {
    this.#closed.inc({ listener, reason });
  }

  connectionRefused(listener: string): void {
    this.#refused.inc({ listener });
  }

  requestRejected(listener: string): void {
    this.#rejected.inc({ listener });
  }

  requestFinished(request: RequestMeasurement): void {
    const { api, errorCodes, failed } = request;
    this.#requests.add(request);
    if (failed) this.#errors.inc({ api, error: 'FAILED' });
    for (const code of errorCodes) this.#errors.inc({ api, error: errorInfo(code).name });
  }

  /** Exports numbers that another part keeps. */
  export(sources: readonly MetricSource[]): void {
    exportTo(this.registry, sources);
  }
}

/** Exports numbers that other parts keep. */
export function exportTo(registry: Registry, sources: readonly MetricSource[]): void {
  for (const source of sources) {
    const { name, help, label } = source;
    const shared = { name, help, labelNames: label === undefined ? [] : [label], registers: [registry] };
    if (source.counter) {
      new Counter({
        ...shared,
        collect() {
          this.reset();
          for (const [labels, value] of valuesOf(source)) this.inc(labels, value);
        },
      });
    } else {
      new Gauge({
        ...shared,
        collect() {
          this.reset();
          for (const [labels, value] of valuesOf(source)) this.set(labels, value);
        },
      });
    }
  }
}

function valuesOf({ read, label }: MetricSource): [Record<string, string>, number][] {
  const value = read();
  if (typeof value === 'number') return [[{}, value]];
  return [...value].map(([key, number]) => [{ [label ?? 'name']: key }, number]);
}
