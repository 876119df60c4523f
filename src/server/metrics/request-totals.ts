import { Counter, type Metric, type Registry } from 'prom-client';
import type { RequestMeasurement } from '../net/metrics.ts';

const latencyBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface ApiTotals {
  /** By API version. */
  readonly requests: number[];
  /** Requests by the first of latencyBuckets that holds them; the last one: slower than all. */
  readonly buckets: number[];
  latencySeconds: number;
  requestBytes: number;
  responseBytes: number;
}

/**
 * What is counted for every request, in plain numbers: the metrics library's own counters look labels up by text, which would cost a
 * small request a quarter of its time. The library asks for the numbers when metrics are scraped.
 */
export class RequestTotals {
  readonly #apis = new Map<string, ApiTotals>();

  add({ api, version, latencyMs, requestBytes, responseBytes }: RequestMeasurement): void {
    let totals = this.#apis.get(api);
    if (totals === undefined) {
      totals = {
        requests: [],
        buckets: new Array<number>(latencyBuckets.length + 1).fill(0),
        latencySeconds: 0,
        requestBytes: 0,
        responseBytes: 0,
      };
      this.#apis.set(api, totals);
    }
    const seconds = latencyMs / 1000;
    let bucket = 0;
    while (bucket < latencyBuckets.length && seconds > latencyBuckets[bucket]!) bucket++;
    totals.requests[version] = (totals.requests[version] ?? 0) + 1;
    totals.buckets[bucket]!++;
    totals.latencySeconds += seconds;
    totals.requestBytes += requestBytes;
    totals.responseBytes += responseBytes;
  }

  register(registry: Registry): void {
    const apis = this.#apis;
    const counter = (
      name: string,
      help: string,
      labelNames: string[],
      fill: (counter: Counter, api: string, totals: ApiTotals) => void,
    ) =>
      new Counter({
        name,
        help,
        labelNames,
        registers: [registry],
        collect() {
          this.reset();
          for (const [api, totals] of apis) fill(this, api, totals);
        },
      });
    counter('kafabric_requests_total', 'Requests answered.', ['api', 'version'], (it, api, { requests }) => {
      for (const [version, count] of requests.entries()) if (count) it.inc({ api, version }, count);
    });
    counter('kafabric_request_bytes_total', 'Bytes of requests.', ['api'], (it, api, { requestBytes }) =>
      it.inc({ api }, requestBytes),
    );
    counter('kafabric_response_bytes_total', 'Bytes of responses.', ['api'], (it, api, { responseBytes }) =>
      it.inc({ api }, responseBytes),
    );
    registry.registerMetric(this.#latency());
  }

  /** A histogram as the registry reads one. */
  #latency(): Metric {
    const name = 'kafabric_request_duration_seconds';
    const help = 'From the reception of a request to the hand-over of its response.';
    const get = async () => ({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.#apis].flatMap(([api, totals]) => histogramValues(name, api, totals)),
    });
    return { name, help, get, reset() {} } as unknown as Metric;
  }
}

function histogramValues(name: string, api: string, { buckets, latencySeconds }: ApiTotals) {
  let count = 0;
  const values = buckets.map((inBucket, i) => {
    count += inBucket;
    return { metricName: `${name}_bucket`, labels: { le: latencyBuckets[i] ?? '+Inf', api }, value: count };
  });
  return [
    ...values,
    { metricName: `${name}_sum`, labels: { api }, value: latencySeconds },
    { metricName: `${name}_count`, labels: { api }, value: count },
  ];
}
