import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { MemoryMetadataLog, startBroker } from '../metadata/metadata.fixture.ts';
import type { QuotaEntry } from '../metadata/quota-state.ts';
import { ClientQuotas } from './client-quotas.ts';
import { QuotaLimits } from './quota-limits.ts';
import { type QuotaAlteration, QuotaManager } from './quota-manager.ts';
import { SampledRate } from './sampled-rate.ts';
import { TokenBucket } from './token-bucket.ts';

type Named = [type: string, name: string | null][];
const entry = (entity: Named, values: Record<string, number>): QuotaEntry => ({
  entity: new Map(entity),
  values: new Map(Object.entries(values)),
});
const alteration = (entity: Named, key: string, value: number | null): QuotaAlteration => ({
  entity: new Map(entity),
  ops: [{ key, value: value ?? 0, remove: value === null }],
});
const WINDOW = { samples: 11, sampleMs: 1000 };

describe('client quotas', () => {
  it('take the most specific limit, in the order of Kafka', () => {
    const all: QuotaEntry[] = [
      entry(
        [
          ['user', 'u'],
          ['client-id', 'c'],
        ],
        { k: 1 },
      ),
      entry(
        [
          ['user', 'u'],
          ['client-id', null],
        ],
        { k: 2 },
      ),
      entry([['user', 'u']], { k: 3 }),
      entry(
        [
          ['user', null],
          ['client-id', 'c'],
        ],
        { k: 4 },
      ),
      entry(
        [
          ['user', null],
          ['client-id', null],
        ],
        { k: 5 },
      ),
      entry([['user', null]], { k: 6 }),
      entry([['client-id', 'c']], { k: 7 }),
      entry([['client-id', null]], { k: 8 }),
    ];
    for (let first = 0; first < all.length; first++)
      assert.equal(new QuotaLimits(all.slice(first), 'k').of('u', 'c')?.perSecond, first + 1);
    assert.equal(new QuotaLimits(all, 'other').of('u', 'c'), null);
    assert.equal(new QuotaLimits([all[6]!], 'k').of('u', 'd'), null);
  });

  it('are shared by the clients of a user whose entity names no client id, and not across users by default', () => {
    const ofUser = new QuotaLimits([entry([['user', 'u']], { k: 1 })], 'k');
    assert.equal(ofUser.of('u', 'a')?.sharedBy, ofUser.of('u', 'b')?.sharedBy);
    const byDefault = new QuotaLimits([entry([['user', null]], { k: 1 })], 'k');
    assert.notEqual(byDefault.of('u', 'a')?.sharedBy, byDefault.of('v', 'a')?.sharedBy);
    assert.equal(byDefault.of('u', 'a')?.sharedBy, byDefault.of('u', 'b')?.sharedBy);
    const byClientId = new QuotaLimits([entry([['client-id', null]], { k: 1 })], 'k');
    assert.equal(byClientId.of('u', 'a')?.sharedBy, byClientId.of('v', 'a')?.sharedBy);
    assert.notEqual(byClientId.of('u', 'a')?.sharedBy, byClientId.of('u', 'b')?.sharedBy);
  });

  it('average over the whole window from the first record on', () => {
    const rate = new SampledRate(WINDOW);
    rate.record(5000, 100);
    assert.equal(rate.perSecond(100), 500);
    assert.equal(rate.throttleMs(500, 100), 0);
    // As much again: twice the limit, over ten seconds.
    rate.record(5000, 100);
    assert.equal(rate.throttleMs(500, 100), 10_000);
    // Nothing is left of it when the window is over.
    assert.equal(rate.perSecond(100 + 11_000), 0);
  });

  it('begin anew when the clock is set back', () => {
    const rate = new SampledRate(WINDOW);
    for (let at = 3_600_000; at < 3_610_000; at += 1000) rate.record(500, at);
    assert.equal(rate.throttleMs(500, 3_609_000), 0);
    for (let at = 0; at < 60_000; at += 1000) {
      rate.record(500, at);
      assert.ok(rate.perSecond(at) <= 550, `${rate.perSecond(at)} at ${at}`);
    }
  });

  it('let a rate at the limit go on for ever', () => {
    const rate = new SampledRate(WINDOW);
    for (let now = 0; now < 60_000; now += 100) {
      rate.record(100, now);
      assert.equal(rate.throttleMs(1100, now), 0, `at ${now} ms`);
    }
  });

  it('fill a bucket of tokens at the rate of the limit, up to the window', () => {
    const bucket = new TokenBucket(WINDOW);
    bucket.take(11, 1, 1_000_000);
    assert.equal(bucket.throttleMs(1, 1_000_000), 0);
    bucket.take(2, 1, 1_000_000);
    assert.equal(bucket.throttleMs(1, 1_000_000), 2000);
    assert.equal(bucket.throttleMs(1, 1_001_500), 500);
    assert.equal(bucket.throttleMs(1, 1_002_000), 0);
    bucket.take(11, 1, 2_000_000);
    assert.equal(bucket.throttleMs(1, 2_000_000), 0);
  });

  it('are found once for each client, and again for those that were forgotten', () => {
    const limits = new QuotaLimits([entry([['user', 'u']], { k: 1 }), entry([['user', 'v']], { k: 2 })], 'k');
    const first = limits.of('u', 'c');
    assert.equal(limits.of('u', 'c'), first);
    for (let n = 0; n < 20_000; n++) assert.equal(limits.of('v', `client-${n}`)?.perSecond, 2);
    assert.deepEqual(limits.of('u', 'c'), first);
    assert.equal(limits.of('w', 'c'), null);
  });

  it('tell clients no time that they would take for a negative one', () => {
    const rate = new SampledRate(WINDOW);
    rate.record(1e12, 0);
    assert.equal(rate.throttleMs(1, 0), 2 ** 31 - 1);
    const bucket = new TokenBucket(WINDOW);
    bucket.take(1e9, 0.001, 0);
    assert.equal(bucket.throttleMs(0.001, 0), 2 ** 31 - 1);
  });

  it('throttle whom they limit, and count nothing while there are none', async () => {
    const { metadata } = await startBroker(new MemoryMetadataLog());
    const clock = new VirtualClock();
    const quotas = new ClientQuotas(metadata.config, clock);
    assert.equal(quotas.produce.active, false);
    quotas.update([entry([['client-id', 'c']], { producer_byte_rate: 100, controller_mutation_rate: 1 })]);
    const client = { user: 'ANONYMOUS', clientId: 'c' };
    assert.equal(quotas.produce.active, true);
    assert.equal(quotas.fetch.active, false);
    assert.equal(quotas.produce.record(client, 1000), 0);
    assert.equal(quotas.produce.record(client, 1000), 10_000);
    assert.equal(quotas.produce.record({ ...client, clientId: 'd' }, 1_000_000), 0);
    assert.equal(quotas.produce.largest(client), 1000);
    const strict = quotas.mutations.begin(client, true);
    strict.take(20);
    assert.throws(() => strict.take(1), { name: 'ApiError' });
    assert.equal(strict.throttleMs, 9000);
    const patient = quotas.mutations.begin(client, false);
    patient.take(1);
    assert.equal(patient.throttleMs, 10_000);
    assert.deepEqual(quotas.throttled().get('produce'), 1);
    quotas.update([]);
    assert.equal(quotas.produce.record(client, 1_000_000), 0);
  });

  it('close connections of an address that connects too often', async () => {
    const { metadata } = await startBroker(new MemoryMetadataLog());
    const quotas = new ClientQuotas(metadata.config, new VirtualClock());
    quotas.update([entry([['ip', '10.0.0.1']], { connection_creation_rate: 1 })]);
    for (let n = 0; n < 10; n++) assert.equal(quotas.connections.record('::ffff:10.0.0.1'), 0);
    assert.equal(quotas.connections.record('10.0.0.1'), 1000);
    assert.equal(quotas.connections.record('10.0.0.2'), 0);
    quotas.update([entry([['ip', '2001:DB8:0:0:0:0:0:1']], { connection_creation_rate: 1 })]);
    for (let n = 0; n < 10; n++) assert.equal(quotas.connections.record('2001:db8::1'), 0);
    assert.equal(quotas.connections.record('2001:db8::1'), 1000);
  });

  it('survive a restart and a snapshot', async () => {
    const log = new MemoryMetadataLog();
    const { metadata } = await startBroker(log);
    const manager = new QuotaManager(metadata);
    const outcomes = await manager.alter(
      [
        alteration(
          [
            ['user', 'u'],
            ['client-id', null],
          ],
          'producer_byte_rate',
          1000,
        ),
        alteration([['user', 'gone']], 'producer_byte_rate', 1000),
        alteration([['ip', '10.0.0.1']], 'producer_byte_rate', 1000),
      ],
      false,
    );
    assert.deepEqual(
      outcomes.map((error) => error?.message ?? null),
      [null, null, 'Invalid configuration key producer_byte_rate'],
    );
    await manager.alter([alteration([['user', 'gone']], 'producer_byte_rate', null)], false);
    const described = (of: QuotaManager) =>
      of.describe([], false).map(({ entity, values }) => [[...entity], [...values]]);
    const expected = [
      [
        [
          ['user', 'u'],
          ['client-id', null],
        ],
        [['producer_byte_rate', 1000]],
      ],
    ];
    assert.deepEqual(described(manager), expected);
    const again = await startBroker(log);
    assert.deepEqual(described(new QuotaManager(again.metadata)), expected);
    const kinds = [...again.metadata.state.records()].map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === 'clientQuota').length, 1);
  });

  it('are altered by at most as much as Kafka takes at once', async () => {
    const { metadata } = await startBroker(new MemoryMetadataLog());
    const quotas = new QuotaManager(metadata);
    const many = Array.from({ length: 10_001 }, (_, index) =>
      alteration([['user', `u${index}`]], 'producer_byte_rate', 1),
    );
    await assert.rejects(
      async () => quotas.alter(many, false),
      ({ code }: { code: number }) => code === ErrorCode.POLICY_VIOLATION,
    );
    assert.deepEqual(quotas.describe([], false), []);
    await quotas.alter(many.slice(1), false);
    assert.equal(quotas.describe([], false).length, 10_000);
  });

  it('take an entity for named twice in whatever order its parts are', async () => {
    const { metadata } = await startBroker(new MemoryMetadataLog());
    const manager = new QuotaManager(metadata);
    const parts: Named = [
      ['user', 'u'],
      ['client-id', 'c'],
    ];
    const outcomes = await manager.alter(
      [
        alteration(parts, 'producer_byte_rate', 1000),
        alteration(parts.toReversed(), 'producer_byte_rate', 2000),
      ],
      false,
    );
    assert.deepEqual(
      outcomes.map((error) => error?.code ?? 0),
      [0, ErrorCode.INVALID_REQUEST],
    );
    const [entry] = manager.describe([], false);
    assert.equal(entry?.values.get('producer_byte_rate'), 1000);
  });

  it('tell listeners of a change, and not of one that is only validated', async () => {
    let changes = 0;
    const { metadata } = await startBroker(new MemoryMetadataLog(), {
      listener: { quotasChanged: () => changes++ },
    });
    const manager = new QuotaManager(metadata);
    await manager.alter([alteration([['user', 'u']], 'producer_byte_rate', 1)], true);
    assert.equal(changes, 0);
    assert.equal(manager.describe([], false).length, 0);
    await manager.alter([alteration([['user', 'u']], 'producer_byte_rate', 1)], false);
    assert.equal(changes, 1);
  });
});
