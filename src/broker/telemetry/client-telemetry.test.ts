import assert from 'node:assert/strict';
import { compress } from '../../native/codec.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { type ClientDescription, ClientTelemetry } from './client-telemetry.ts';
import { decodeMetrics } from './otlp.ts';

const description: ClientDescription = {
  client_id: 'app-1',
  client_software_name: 'apache-kafka-java',
  client_software_version: '4.3.0',
  client_source_address: '127.0.0.1',
  client_source_port: '50000',
};

/** A field of protobuf: a message or text. */
const message = (id: number, ...parts: (Uint8Array | string)[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([(id << 3) | 2, body.length]), body]);
};
const double = (id: number, value: number): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes[0] = (id << 3) | 1;
  bytes.writeDoubleLE(value, 1);
  return bytes;
};
const fixed = (id: number, value: bigint): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes[0] = (id << 3) | 1;
  bytes.writeBigInt64LE(value, 1);
  return bytes;
};
const attribute = (id: number, key: string, value: string) =>
  message(id, message(1, key), message(2, message(1, value)));

/** What OpenTelemetry calls MetricsData: a sum with an attribute and a gauge, of a resource that has one too. */
const METRICS = message(
  1,
  message(1, attribute(1, 'zone', 'a')),
  message(
    2,
    message(2, message(1, 'sent.total'), message(7, message(1, fixed(6, 42n), attribute(7, 'topic', 't')))),
    message(2, message(1, 'rate.avg'), message(5, message(1, double(4, 1.5)))),
  ),
);

describe('client telemetry', () => {
  let clock: VirtualClock;
  let telemetry: ClientTelemetry;

  beforeEach(() => {
    clock = new VirtualClock();
    telemetry = new ClientTelemetry(clock, 1000);
    telemetry.update([
      new Map([
        ['metrics', 'org.apache.kafka.producer.'],
        ['interval.ms', '10000'],
        ['match', 'client_id=app-.*'],
      ]),
      new Map([
        ['metrics', 'org.apache.kafka.consumer.'],
        ['interval.ms', '5000'],
        ['match', 'client_id=other'],
      ]),
    ]);
  });

  const push = (over: Partial<Parameters<ClientTelemetry['push']>[2]>, id: string) =>
    telemetry.push(id, description, {
      subscriptionId: 0,
      terminating: false,
      compressionType: 0,
      metrics: METRICS,
      ...over,
    });
  const refusedWith = (code: number) => (error: unknown) => (error as { code: number }).code === code;

  it('subscribes a client to what matches it, under an id of its own', () => {
    const one = telemetry.subscribe(ZERO_UUID, description);
    const two = telemetry.subscribe(ZERO_UUID, description);
    assert.deepEqual(one.metrics, ['org.apache.kafka.producer.']);
    assert.equal(one.intervalMs, 10_000);
    assert.notEqual(one.clientInstanceId, two.clientInstanceId);
    assert.notEqual(one.id, two.id);
    const none = telemetry.subscribe(ZERO_UUID, { ...description, client_id: 'x' });
    assert.deepEqual(none.metrics, []);
    assert.equal(none.intervalMs, 300_000);
    telemetry.update([new Map([['metrics', '*,a']])]);
    assert.deepEqual(telemetry.subscribe(one.clientInstanceId, description).metrics, ['*']);
  });

  it('keeps what was pushed, and refuses what it should', async () => {
    const { id, clientInstanceId } = telemetry.subscribe(ZERO_UUID, description);
    assert.throws(
      () => telemetry.subscribe(clientInstanceId, description),
      refusedWith(ErrorCode.THROTTLING_QUOTA_EXCEEDED),
    );
    await push({ subscriptionId: id }, clientInstanceId);
    const [client] = telemetry.clients();
    assert.deepEqual(
      client!.metrics.map(({ name, value, attributes }) => [name, value, [...attributes]]),
      [
        [
          'sent.total',
          42,
          [
            ['zone', 'a'],
            ['topic', 't'],
          ],
        ],
        ['rate.avg', 1.5, [['zone', 'a']]],
      ],
    );
    await assert.rejects(
      push({ subscriptionId: id }, clientInstanceId),
      refusedWith(ErrorCode.THROTTLING_QUOTA_EXCEEDED),
    );
    const later = (over: Parameters<typeof push>[0], code: number) => {
      clock.tick(10_000);
      return assert.rejects(push(over, clientInstanceId), refusedWith(code));
    };
    await later({ subscriptionId: id + 1 }, ErrorCode.UNKNOWN_SUBSCRIPTION_ID);
    await later({ subscriptionId: id, compressionType: 7 }, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE);
    await later({ subscriptionId: id, metrics: Buffer.alloc(1001) }, ErrorCode.TELEMETRY_TOO_LARGE);
    await later({ subscriptionId: id, metrics: Buffer.from([0xff, 0xff]) }, ErrorCode.INVALID_RECORD);
    await assert.rejects(push({ subscriptionId: id }, ZERO_UUID), refusedWith(ErrorCode.INVALID_REQUEST));
    await push({ subscriptionId: id, terminating: true }, clientInstanceId);
    await later({ subscriptionId: id }, ErrorCode.INVALID_REQUEST);
  });

  it('lets a client ask at once what to push if its push was of something else, or could not be read', async () => {
    const { id, clientInstanceId } = telemetry.subscribe(ZERO_UUID, description);
    telemetry.update([new Map([['metrics', '*']])]);
    await assert.rejects(
      push({ subscriptionId: id }, clientInstanceId),
      refusedWith(ErrorCode.UNKNOWN_SUBSCRIPTION_ID),
    );
    const { id: current, metrics } = telemetry.subscribe(clientInstanceId, description);
    assert.deepEqual(metrics, ['*']);
    clock.tick(300_000);
    await assert.rejects(
      push({ subscriptionId: current, compressionType: 7 }, clientInstanceId),
      refusedWith(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE),
    );
    telemetry.subscribe(clientInstanceId, description);
    assert.throws(
      () => telemetry.subscribe(clientInstanceId, description),
      refusedWith(ErrorCode.THROTTLING_QUOTA_EXCEEDED),
    );
  });

  it('reads every compression, and takes no more than it may', async () => {
    for (const codec of [1, 2, 3, 4] as const) {
      const { id, clientInstanceId } = telemetry.subscribe(ZERO_UUID, description);
      await push(
        { subscriptionId: id, compressionType: codec, metrics: compress(codec, METRICS) },
        clientInstanceId,
      );
    }
    assert.deepEqual(
      telemetry.clients().map(({ metrics }) => metrics.length),
      [2, 2, 2, 2],
    );
    assert.equal(decodeMetrics(METRICS, { numbers: 1, bytes: 1 << 20 }).metrics.length, 1);
    assert.equal(decodeMetrics(METRICS, { numbers: 9, bytes: 300 }).metrics.length, 1);
  });

  it('refuses what becomes many times as large, or has very many parts', async () => {
    const bombs = [Buffer.alloc(4001), Buffer.alloc(1_000_000)];
    for (const bomb of bombs) {
      for (const codec of [1, 2, 3, 4] as const) {
        const metrics = compress(codec, bomb);
        if (metrics.byteLength > 1000) continue;
        const { id, clientInstanceId } = telemetry.subscribe(ZERO_UUID, description);
        await assert.rejects(
          push({ subscriptionId: id, compressionType: codec, metrics }, clientInstanceId),
          refusedWith(ErrorCode.INVALID_RECORD),
        );
      }
    }
    const emptyParts = Buffer.alloc(500_000).fill(Buffer.from([(1 << 3) | 2, 0]));
    assert.throws(() => decodeMetrics(emptyParts, { numbers: 9, bytes: 1 << 20 }), /fields/);
  });

  it('keeps so many bytes of all clients, and cuts long names', async () => {
    telemetry = new ClientTelemetry(clock, 1 << 20);
    telemetry.update([new Map([['metrics', '*']])]);
    const long = (id: number, text: string) =>
      Buffer.concat([
        Buffer.from([(id << 3) | 2, 0x80 | (text.length & 0x7f), text.length >> 7]),
        Buffer.from(text),
      ]);
    const size = (id: number, body: Buffer) =>
      Buffer.concat([
        Buffer.from([
          (id << 3) | 2,
          0x80 | (body.length & 0x7f),
          0x80 | ((body.length >> 7) & 0x7f),
          body.length >> 14,
        ]),
        body,
      ]);
    const point = message(7, message(1, fixed(6, 1n)));
    const one = size(2, Buffer.concat([long(1, 'n'.repeat(4000)), point]));
    const metrics = size(1, size(2, Buffer.concat(Array.from({ length: 200 }, () => one))));
    for (let client = 0; client < 200; client++) {
      const { id, clientInstanceId } = telemetry.subscribe(ZERO_UUID, description);
      await push({ subscriptionId: id, metrics }, clientInstanceId);
    }
    const kept = telemetry.clients().flatMap((each) => each.metrics);
    assert.equal(kept[0]!.name.length, 1024);
    const bytes = kept.reduce((sum, { name }) => sum + name.length, 0);
    assert.ok(kept.length > 1000 && bytes < 32 << 20, `${bytes} bytes`);
  });

  it('forgets clients that are silent', () => {
    telemetry.subscribe(ZERO_UUID, description);
    clock.tick(59_000);
    assert.equal(telemetry.clients().length, 1);
    clock.tick(2_000);
    assert.equal(telemetry.clients().length, 0);
  });

  it('takes what clients say also when the clock was set back', async () => {
    let now = 3_600_000;
    telemetry = new ClientTelemetry({ now: () => now, setTimer: clock.setTimer }, 1000);
    telemetry.update([new Map([['metrics', '*']])]);
    const { id, clientInstanceId } = telemetry.subscribe(ZERO_UUID, description);
    await push({ subscriptionId: id }, clientInstanceId);
    now = 0;
    await push({ subscriptionId: id }, clientInstanceId);
    now = 3_600_000;
    const other = telemetry.subscribe(ZERO_UUID, description);
    now = 0;
    assert.equal(telemetry.subscribe(other.clientInstanceId, description).id, other.id);
  });
});
