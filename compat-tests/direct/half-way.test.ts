import assert from 'node:assert/strict';
import { type Client, DirectError, type Event, type Path, type Selection } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { sleep } from '../harness/child.ts';
import type { TcpProxy } from '../harness/tcp-proxy.ts';
import { collect, content, type DirectGateway, startDirectGateway, startProxiedGateway } from './fixture.ts';
import { dataAt } from './stress-data.ts';

const PULL = { timeoutMs: 60_000 };
const MIB = 1 << 20;
/** It takes several requests: `limits` says how large one may be. */
const EVENT_BYTES = 12 * MIB;
const REQUEST_BYTES = 2 * MIB;
const limits = { 'direct.max.request.bytes': String(REQUEST_BYTES) };
const LARGE = { configs: { 'max.message.bytes': '100000000' } };
const EVENTS = 6;
const selections: readonly Selection[] = [
  'all',
  { offset: 5, length: 40_000, count: 250, stride: 50_000 },
  Array.from({ length: 3 }, (_, i) => ({ offset: i * 1000, length: EVENT_BYTES - 5000 })),
];

/** Gets that are under way together: what resolves is whole and right, what rejects says why. Returns how many resolved. */
async function gets(events: readonly Event[], selection: Selection): Promise<number> {
  const ended = await Promise.allSettled(
    events.map(async (event, i) => {
      const expected = dataAt(content(EVENT_BYTES, i), selection);
      const target = new Uint8Array(expected.byteLength);
      assert.equal(await event.data(selection, target), target);
      if (!expected.equals(target)) throw new Error(`event ${i} is mixed`);
    }),
  );
  for (const one of ended)
    if (one.status === 'rejected') {
      assert.ok(one.reason instanceof DirectError, String(one.reason));
      assert.ok(['CONNECTION', 'TIMEOUT'].includes(one.reason.code), one.reason.message);
    }
  return ended.filter(({ status }) => status === 'fulfilled').length;
}

/** Events as the client has pulled them; they are pushed over the connection, for which the limit on requests does not count. */
async function fill(gateway: DirectGateway, client: Client, name: string): Promise<Event[]> {
  const other = await gateway.connect({ path: 'tcp' });
  const producer = (await other.createTopic(name, LARGE)).producer();
  for (let i = 0; i < EVENTS; i++) await producer.push({ i }, content(EVENT_BYTES, i));
  await producer.close();
  other.close();
  const consumer = (await client.openTopic(name)).consumer();
  const events = await collect(EVENTS, () => consumer.pull(PULL));
  await consumer.close();
  return events;
}

for (const path of ['tcp', 'shared-memory'] as const satisfies readonly Path[])
  describe(`direct fetches that fail half-way (${path})`, () => {
    if (targetIsKafka) return;

    describe('when the network fails', () => {
      let gateway: DirectGateway & { readonly proxy: TcpProxy };
      let client: Client;
      let events: Event[];
      /** What passes the proxy for one part: data over the connection, or an answer alone. */
      const partBytes = path === 'tcp' ? REQUEST_BYTES : 200;

      before(async () => {
        gateway = await startProxiedGateway(limits);
        client = await gateway.connect({ path });
        events = await fill(gateway, client, 'cut');
      });
      after(async () => {
        client?.close();
        await gateway?.proxy.stop();
        await gateway?.broker.stop();
      });

      for (const [n, selection] of selections.entries())
        it(`has data whole once it is connected again (selection ${n})`, async () => {
          for (const parts of [0.5, 1, 2.3, 7, 11]) {
            const { drops } = gateway.proxy;
            gateway.proxy.dropAfter(Math.round(parts * partBytes));
            assert.equal(await gets(events, selection), EVENTS);
            assert.equal(gateway.proxy.drops, drops + 1, `after ${parts} parts`);
          }
        });

      it('has what is selected whole, in the memory that it is given, while pulls go on', async () => {
        const topic = await client.openTopic('cut');
        const landed: Uint8Array[] = [];
        const consumer = topic.consumer({
          select: 'all',
          broker: (_metadata, _descriptor, bytes) => {
            landed.push(new Uint8Array(bytes).fill(0xee));
            return landed.at(-1);
          },
        });
        const { drops } = gateway.proxy;
        for (let i = 0; i < EVENTS; i++) {
          gateway.proxy.dropAfter(Math.round((i + 0.5) * partBytes));
          const { selected } = (await consumer.pull(PULL))!;
          assert.equal(selected, landed[i]);
          assert.ok(content(EVENT_BYTES, i).equals(selected!), `event ${i}`);
        }
        assert.ok(gateway.proxy.drops > drops);
        await consumer.close();
      });
    });

    describe('when the gateway is started again', () => {
      let gateway: DirectGateway;
      let client: Client;
      let events: Event[];

      before(async () => {
        gateway = await startDirectGateway(limits);
        client = await gateway.connect({ path });
        events = await fill(gateway, client, 'restarted');
      });
      after(async () => {
        client?.close();
        await gateway?.broker.stop();
      });

      for (const signal of ['SIGKILL', 'SIGTERM'] as const)
        it(`has data whole, or says why not (${signal})`, async () => {
          let isEnding = false;
          let resolved = 0;
          const getting = (async () => {
            for (let n = 0; !isEnding; n++)
              resolved += await gets(events, selections[n % selections.length]!);
          })();
          for (let n = 0; n < 2; n++) {
            await sleep(200 + 90 * n);
            await gateway.broker.kill(signal);
            await gateway.broker.start();
          }
          isEnding = true;
          await getting;
          assert.ok(resolved > 0);
          assert.equal(await gets(events, 'all'), EVENTS);
        });
    });
  });
