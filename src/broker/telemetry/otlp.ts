import protobuf from 'protobufjs/light.js';

/** One number of a client, with the attributes that tell it from others of its name. */
export interface ClientMetric {
  readonly name: string;
  readonly value: number;
  readonly attributes: ReadonlyMap<string, string>;
}

const field = (type: string, id: number, rule?: 'repeated') =>
  rule === undefined ? { type, id } : { type, id, rule };
const dataPoints = { fields: { dataPoints: field('NumberDataPoint', 1, 'repeated') } };

/** What is read of opentelemetry/proto/metrics/v1/metrics.proto (1.x): sums and gauges, which are all that Kafka's clients push. */
const root = protobuf.Root.fromJSON({
  nested: {
    MetricsData: { fields: { resourceMetrics: field('ResourceMetrics', 1, 'repeated') } },
    ResourceMetrics: {
      fields: { resource: field('Resource', 1), scopeMetrics: field('ScopeMetrics', 2, 'repeated') },
    },
    Resource: { fields: { attributes: field('KeyValue', 1, 'repeated') } },
    ScopeMetrics: { fields: { metrics: field('Metric', 2, 'repeated') } },
    Metric: { fields: { name: field('string', 1), gauge: field('Gauge', 5), sum: field('Sum', 7) } },
    Gauge: dataPoints,
    Sum: dataPoints,
    NumberDataPoint: {
      oneofs: { value: { oneof: ['asDouble', 'asInt'] } },
      fields: {
        asDouble: field('double', 4),
        asInt: field('sfixed64', 6),
        attributes: field('KeyValue', 7, 'repeated'),
      },
    },
    KeyValue: { fields: { key: field('string', 1), value: field('AnyValue', 2) } },
    AnyValue: {
      oneofs: { value: { oneof: ['stringValue', 'boolValue', 'intValue', 'doubleValue'] } },
      fields: {
        stringValue: field('string', 1),
        boolValue: field('bool', 2),
        intValue: field('int64', 3),
        doubleValue: field('double', 4),
      },
    },
  },
});
const metricsData = root.lookupType('MetricsData');

interface KeyValue {
  key?: string;
  value?: Record<string, unknown>;
}
interface DataPoint {
  asDouble?: number;
  asInt?: number;
  attributes?: KeyValue[];
}
interface Decoded {
  resourceMetrics?: {
    resource?: { attributes?: KeyValue[] };
    scopeMetrics?: {
      metrics?: { name?: string; gauge?: { dataPoints?: DataPoint[] }; sum?: { dataPoints?: DataPoint[] } }[];
    }[];
  }[];
}

/**
 * Reads what a client pushed (KIP-714): MetricsData of OpenTelemetry. At most `limit` numbers are taken.
 * @throws Error for bytes that are no such message
 */
export function decodeMetrics(bytes: Uint8Array, limit: number): ClientMetric[] {
  const decoded = metricsData.toObject(metricsData.decode(bytes), { longs: Number }) as Decoded;
  const metrics: ClientMetric[] = [];
  for (const { resource, scopeMetrics } of decoded.resourceMetrics ?? []) {
    const ofResource = attributesOf(resource?.attributes);
    for (const { name = '', gauge, sum } of (scopeMetrics ?? []).flatMap(({ metrics: each }) => each ?? [])) {
      for (const { asDouble, asInt, attributes } of gauge?.dataPoints ?? sum?.dataPoints ?? []) {
        if (metrics.length === limit) return metrics;
        const value = asDouble ?? asInt ?? 0;
        metrics.push({ name, value, attributes: new Map([...ofResource, ...attributesOf(attributes)]) });
      }
    }
  }
  return metrics;
}

function attributesOf(pairs: KeyValue[] = []): [string, string][] {
  return pairs.map(({ key = '', value = {} }) => [key, String(Object.values(value)[0] ?? '')]);
}
