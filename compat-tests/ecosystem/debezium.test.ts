import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { installed } from '../harness/paths.ts';
import { ConnectWorker } from './connect-worker.ts';
import { Postgres } from './postgres.ts';
import { readTopic } from './programs.ts';

const patienceMs = 120_000;
const TOPIC = 'shop.public.orders';
const FIRST = 300;
const BATCH = 30;
const BATCHES = 10;

interface Row {
  id: number;
  amount: number;
  note: string;
}

/** Every change of a table, once and in order, as the database made it. */
describe('Debezium for PostgreSQL, on Kafka Connect', function () {
  this.timeout(600_000);
  let broker: Broker;
  let dir: string;
  let postgres: Postgres;
  let worker: ConnectWorker;

  before(async function () {
    for (const toolchain of ['java', 'kcat', 'postgresql', 'debezium']) requireToolchain(this, toolchain);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-debezium-'));
    postgres = await Postgres.start(dir);
    broker = await startBroker();
    worker = await ConnectWorker.make(broker.bootstrap, dir, [`plugin.path=${join(installed, 'debezium')}`]);
    await postgres.run('CREATE TABLE orders (id INT PRIMARY KEY, amount INT NOT NULL, note TEXT NOT NULL)');
    await postgres.run('ALTER TABLE orders REPLICA IDENTITY FULL');
  });

  after(async () => {
    await worker?.kill('SIGKILL');
    await postgres?.stop();
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  /** Some with a note that is large enough to be diverted. */
  async function insert(from: number, to: number): Promise<void> {
    const note = "CASE WHEN i % 50 = 49 THEN repeat('x' || i, 30000) ELSE 'note ' || i END";
    await postgres.run(
      `INSERT INTO orders SELECT i, i * 10, ${note} FROM generate_series(${from}, ${to - 1}) AS i`,
    );
  }

  /** Waits for what is told of a row. */
  async function arrives(id: number): Promise<void> {
    await until(`order ${id} in the topic`, patienceMs, async () => {
      await worker.isRunning('orders');
      const records = await readTopic(broker.bootstrap, TOPIC).catch(() => []);
      return records.some(({ key }) => key === JSON.stringify({ id }));
    });
  }

  /** What happened to each row, and what is left. */
  async function told(): Promise<{ histories: Record<string, string>; rows: Row[] }> {
    const histories: Record<string, string> = {};
    const rows = new Map<string, Row>();
    for (const { key, value } of await readTopic(broker.bootstrap, TOPIC)) {
      const { id } = JSON.parse(key!) as { id: number };
      const change = value === null ? null : (JSON.parse(value) as { op: string; after: Row | null });
      histories[id] = (histories[id] ?? '') + (change?.op ?? '-');
      if (change?.after) rows.set(`${id}`, change.after);
      else rows.delete(`${id}`);
    }
    return { histories, rows: [...rows.values()].sort((a, b) => a.id - b.id) };
  }

  async function create(): Promise<void> {
    await worker.create('orders', {
      'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
      'database.hostname': '127.0.0.1',
      'database.port': `${postgres.port}`,
      'database.user': 'postgres',
      'database.password': 'none',
      'database.dbname': 'postgres',
      'topic.prefix': 'shop',
      'table.include.list': 'public.orders',
      'plugin.name': 'pgoutput',
      'exactly.once.support': 'required',
      'poll.interval.ms': '100',
      'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
      'key.converter.schemas.enable': 'false',
      'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
      'value.converter.schemas.enable': 'false',
    });
  }

  it('tells of every change once, when the worker is killed and the gateway restarted', async () => {
    await insert(0, FIRST);
    await worker.start();
    await create();
    await arrives(FIRST - 1);
    for (let batch = 0; batch < BATCHES; batch++) {
      const from = FIRST + batch * BATCH;
      await insert(from, from + BATCH);
      await postgres.run(`UPDATE orders SET amount = amount + 1 WHERE id < ${10 * batch}`);
      await postgres.run(`DELETE FROM orders WHERE id BETWEEN ${100 + 5 * batch} AND ${104 + 5 * batch}`);
      if (batch === BATCHES / 2) {
        await arrives(from - 1);
        await worker.kill('SIGKILL');
      }
      await sleep(100);
    }
    await worker.start();
    await arrives(FIRST + BATCHES * BATCH - 1);
    await broker.restart();
    const last = 1_000_000;
    await insert(last, last + 1);
    await arrives(last);

    const { histories, rows } = await told();
    const expected: Record<string, string> = { [last]: 'c' };
    for (let id = 0; id < FIRST + BATCHES * BATCH; id++) {
      const updates = Math.max(0, BATCHES - 1 - Math.floor(id / 10));
      expected[id] = (id < FIRST ? 'r' : 'c') + 'u'.repeat(updates) + (id >= 100 && id < 150 ? 'd-' : '');
    }
    assert.deepEqual(histories, expected);
    const md5 = (text: string) => createHash('md5').update(text).digest('hex');
    assert.deepEqual(
      rows.map(({ id, amount, note }) => `${id}|${amount}|${md5(note)}`),
      await postgres.run('SELECT id, amount, md5(note) FROM orders ORDER BY id'),
    );
  });
});
