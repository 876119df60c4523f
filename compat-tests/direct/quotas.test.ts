import assert from 'node:assert/strict';
import { ErrorCode } from '../../src/protocol/errors.ts';
import { alterClientQuotasRequest } from '../../src/protocol/generated/alter-client-quotas-request.ts';
import { alterClientQuotasResponse } from '../../src/protocol/generated/alter-client-quotas-response.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { readMetric } from '../harness/metrics.ts';
import { WireClient } from '../harness/wire-client.ts';
import { collect, content, type DirectGateway, startDirectGateway } from './fixture.ts';

const LIMITED = 'limited';
/** A second's worth is free, each way; what a slow machine moves in a second is more. */
const BYTES_PER_SECOND = 1_000_000;
const SIZE = 1_000_000;
const EVENTS = 5;

describe('quotas of direct clients', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;

  before(async () => {
    gateway = await startDirectGateway({
      'direct.mapped.listeners': 'DIRECT',
      'quota.window.num': '2',
      'quota.window.size.seconds': '1',
    });
    const wire = await WireClient.connect(gateway.bootstrap);
    const ops = ['producer_byte_rate', 'consumer_byte_rate'].map((key) => ({
      ...{ key, value: BYTES_PER_SECOND, remove: false },
    }));
    const entity = [{ entityType: 'client-id', entityName: LIMITED }];
    const codecs = [alterClientQuotasRequest, alterClientQuotasResponse] as const;
    const { entries } = await wire.call(codecs, 1, { entries: [{ entity, ops }] });
    assert.equal(entries[0]!.errorCode, ErrorCode.NONE);
    wire.close();
  });
  after(() => gateway?.broker.stop());

  const throttled = (quota: string) =>
    readMetric(gateway.broker.metricsUrl!, `kafabric_throttled_total{quota="${quota}"}`);

  for (const path of ['tcp', 'shared-memory', 'mapped'] as const)
    for (const clientId of [LIMITED, 'free'])
      it(`hold for what is pushed and pulled over ${path} by those who have them (${clientId})`, async () => {
        const client = await gateway.connect({ path, clientId });
        const topic = await client.createTopic(`${path}-${clientId}`);
        const [pushesBefore, pullsBefore] = [await throttled('produce'), await throttled('fetch')];
        const producer = topic.producer();
        await Promise.all(Array.from({ length: EVENTS }, (_, i) => producer.push({ i }, content(SIZE, i))));
        await producer.close();
        const consumer = topic.consumer(path === 'mapped' ? {} : { select: 'all' });
        for (const [i, event] of (await collect(EVENTS, () => consumer.pull())).entries()) {
          const view = await event.view();
          assert.ok(content(SIZE, i).equals(event.selected ?? view.bytes), `event ${i}`);
          view.release();
        }
        await consumer.close();
        client.close();
        const had = [(await throttled('produce')) > pushesBefore, (await throttled('fetch')) > pullsBefore];
        const isLimited = clientId === LIMITED;
        assert.deepEqual(had, [isLimited, isLimited]);
      });
});
