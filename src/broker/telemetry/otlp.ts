import protobuf from 'protobufjs/minimal.js';

/** One number of a client, with the attributes that tell it from others of its name. */
export interface ClientMetric {
  readonly name: string;
  readonly value: number;
  readonly attributes: ReadonlyMap<string, string>;
}

/** What is taken of one message. */
export interface MetricLimits {
  /** How many numbers. */
  readonly numbers: number;
  /** About how much memory they take, in bytes. */
  readonly bytes: number;
}

export interface DecodedMetrics {
  readonly metrics: readonly ClientMetric[];
  /** About how much memory they take. */
  readonly bytes: number;
}

/** Fields of all messages in one another, at most: reading one takes some hundred nanoseconds, whatever it says. */
const FIELDS_MAX = 200_000;
/** A name or an attribute that is longer is cut. */
const TEXT_MAX_BYTES = 1024;
/** What a number takes beside its name and attributes, and an attribute beside its text. */
const METRIC_BYTES = 200;
const ATTRIBUTE_BYTES = 60;

type Fields = Record<number, (reader: protobuf.Reader) => void>;
type Attributes = readonly (readonly [string, string])[];

/** Fields of opentelemetry/proto/metrics/v1/metrics.proto (1.x), of messages that have them. */
const MetricsData = { resourceMetrics: 1 } as const;
const ResourceMetrics = { resource: 1, scopeMetrics: 2 } as const;
const Resource = { attributes: 1 } as const;
const ScopeMetrics = { metrics: 2 } as const;
const Metric = { name: 1, gauge: 5, sum: 7 } as const;
const Data = { dataPoints: 1 } as const;
const NumberDataPoint = { asDouble: 4, asInt: 6, attributes: 7 } as const;
const KeyValue = { key: 1, value: 2 } as const;
const AnyValue = { string: 1, bool: 2, int: 3, double: 4 } as const;

/**
 * Reads what a client pushed (KIP-714): the sums and gauges of OpenTelemetry's MetricsData, which are all that Kafka's clients push. What
 * goes beyond `limits` is left out.
 * @throws Error for bytes that are no such message, or one of too many parts
 */
export function decodeMetrics(bytes: Uint8Array, limits: MetricLimits): DecodedMetrics {
  return new MetricsReader(limits).read(bytes);
}

class MetricsReader {
  readonly #limits: MetricLimits;
  readonly #metrics: ClientMetric[] = [];
  #bytes = 0;
  #fields = 0;

  constructor(limits: MetricLimits) {
    this.#limits = limits;
  }

  read(bytes: Uint8Array): DecodedMetrics {
    const reader = protobuf.Reader.create(bytes);
    this.#readFields(reader, reader.len, {
      [MetricsData.resourceMetrics]: (each) => this.#resourceMetrics(each),
    });
    return { metrics: this.#metrics, bytes: this.#bytes };
  }

  #resourceMetrics(reader: protobuf.Reader): void {
    let attributes: Attributes = [];
    const scopes: [start: number, end: number][] = [];
    this.#message(reader, {
      [ResourceMetrics.resource]: (each) => {
        attributes = this.#resource(each);
      },
      // The resource may come behind them.
      [ResourceMetrics.scopeMetrics]: (each) => {
        const end = endOf(each);
        scopes.push([each.pos, end]);
        each.pos = end;
      },
    });
    const { pos } = reader;
    for (const [start, end] of scopes) {
      reader.pos = start;
      this.#readFields(reader, end, {
        [ScopeMetrics.metrics]: (each) => this.#metric(each, attributes),
      });
    }
    reader.pos = pos;
  }

  #resource(reader: protobuf.Reader): Attributes {
    const attributes: [string, string][] = [];
    this.#message(reader, {
      [Resource.attributes]: (each) => attributes.push(this.#attribute(each)),
    });
    return attributes;
  }

  #metric(reader: protobuf.Reader, ofResource: Attributes): void {
    let name = '';
    const points: { value: number; attributes: Attributes }[] = [];
    const data = (each: protobuf.Reader) =>
      this.#message(each, {
        [Data.dataPoints]: (point) => {
          const read = this.#dataPoint(point);
          if (this.#metrics.length + points.length < this.#limits.numbers) points.push(read);
        },
      });
    this.#message(reader, {
      [Metric.name]: (each) => {
        name = text(each);
      },
      [Metric.gauge]: data,
      [Metric.sum]: data,
    });
    for (const { value, attributes } of points) this.#add(name, value, [...ofResource, ...attributes]);
  }

  #add(name: string, value: number, attributes: Attributes): void {
    let bytes = METRIC_BYTES + name.length;
    for (const [key, text] of attributes) bytes += ATTRIBUTE_BYTES + key.length + text.length;
    if (this.#bytes + bytes > this.#limits.bytes) return;
    this.#bytes += bytes;
    this.#metrics.push({ name, value, attributes: new Map(attributes) });
  }

  #dataPoint(reader: protobuf.Reader): { value: number; attributes: Attributes } {
    let value = 0;
    const attributes: [string, string][] = [];
    this.#message(reader, {
      [NumberDataPoint.asDouble]: (each) => {
        value = each.double();
      },
      [NumberDataPoint.asInt]: (each) => {
        value = Number(each.sfixed64());
      },
      [NumberDataPoint.attributes]: (each) => attributes.push(this.#attribute(each)),
    });
    return { value, attributes };
  }

  #attribute(reader: protobuf.Reader): [string, string] {
    let key = '';
    let value = '';
    this.#message(reader, {
      [KeyValue.key]: (each) => {
        key = text(each);
      },
      [KeyValue.value]: (each) =>
        this.#message(each, {
          [AnyValue.string]: (any) => {
            value = text(any);
          },
          [AnyValue.bool]: (any) => {
            value = String(any.bool());
          },
          [AnyValue.int]: (any) => {
            value = String(any.int64());
          },
          [AnyValue.double]: (any) => {
            value = String(any.double());
          },
        }),
    });
    return [key, value];
  }

  #message(reader: protobuf.Reader, fields: Fields): void {
    this.#readFields(reader, endOf(reader), fields);
  }

  #readFields(reader: protobuf.Reader, end: number, fields: Fields): void {
    while (reader.pos < end) {
      if (++this.#fields > FIELDS_MAX) throw new Error(`it has more than ${FIELDS_MAX} fields`);
      const tag = reader.uint32();
      const read = fields[tag >>> 3];
      if (read !== undefined) read(reader);
      else reader.skipType(tag & 7);
    }
    if (reader.pos !== end) throw new Error(`a message ends at ${end}, its last field at ${reader.pos}`);
  }
}

/** Where the message begins whose length is next, and where it ends. */
function endOf(reader: protobuf.Reader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new Error(`${length} bytes where ${reader.len - reader.pos} are left`);
  return end;
}

function text(reader: protobuf.Reader): string {
  const end = endOf(reader);
  const bytes = reader.buf.subarray(reader.pos, Math.min(end, reader.pos + TEXT_MAX_BYTES));
  reader.pos = end;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}
