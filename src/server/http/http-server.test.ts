import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { Counter, Registry } from 'prom-client';
import { type Readiness, startHttpServer } from './http-server.ts';

describe('HTTP listener', () => {
  it('serves metrics and health, and says why it is not ready', async () => {
    const metrics = new Registry();
    new Counter({ name: 'things_total', help: 'Things.', registers: [metrics] }).inc(3);
    let state: Readiness = { ready: false, reasons: ['recovering logs'] };
    const server = await startHttpServer({
      host: '127.0.0.1',
      port: 0,
      metrics,
      readiness: () => state,
      version: '1.2.3',
    });
    try {
      const url = `http://127.0.0.1:${server.port}`;
      assert.match(await (await fetch(`${url}/metrics`)).text(), /things_total 3/);
      const live = async () => (await fetch(`${url}/health/live`)).json();
      assert.deepEqual(await live(), { status: 'live' });
      const notReady = await fetch(`${url}/health/ready`);
      assert.equal(notReady.status, 503);
      assert.deepEqual(await notReady.json(), { status: 'not ready', reasons: ['recovering logs'] });
      const stores = [{ address: 'a:1', circuit: 'open' as const }];
      const tiers = [
        { tier: 'first', path: '/nvme0', error: null },
        { tier: 'second', path: 's3://payload', error: 'it is away' },
      ];
      state = { ready: true, reasons: [], stores, tiers };
      const ready = await fetch(`${url}/health/ready`);
      assert.equal(ready.status, 200);
      assert.deepEqual(await ready.json(), { status: 'ready', reasons: [], stores, tiers });
      assert.deepEqual(await live(), { status: 'live', stores, tiers });
      assert.equal((await fetch(`${url}/nothing`)).status, 404);
    } finally {
      await server.close();
    }
  });

  it('goes on when the system cannot give it connections', async () => {
    const readiness = () => ({ ready: true, reasons: [] });
    const options = { host: '127.0.0.1', port: 0, metrics: new Registry(), readiness, version: '' };
    const server = await startHttpServer(options);
    let listening: Server | null = null;
    const found = (message: unknown) => {
      listening = (message as { server: Server }).server;
    };
    subscribe('http.server.request.start', found);
    try {
      const live = () => fetch(`http://127.0.0.1:${server.port}/health/live`);
      await live();
      for (let i = 0; i < 2; i++) (listening as Server | null)!.emit('error', new Error('accept EMFILE'));
      assert.equal((await live()).status, 200);
    } finally {
      unsubscribe('http.server.request.start', found);
      await server.close();
    }
  });

  it('leaves descriptors to others, however many connections are opened', async () => {
    const readiness = () => ({ ready: true, reasons: [] });
    const options = { host: '127.0.0.1', port: 0, metrics: new Registry(), readiness, version: '' };
    const server = await startHttpServer(options);
    const sockets = Array.from({ length: 300 }, () => connect(server.port, '127.0.0.1'));
    try {
      let open = sockets.length;
      for (const socket of sockets)
        socket
          .resume()
          .on('error', () => {})
          .once('close', () => open--);
      while (open > 256) await new Promise((resolve) => setTimeout(resolve, 5));
      sockets[0]!.destroy();
      await once(sockets[0]!, 'close');
      assert.equal((await fetch(`http://127.0.0.1:${server.port}/health/live`)).status, 200);
    } finally {
      for (const socket of sockets) socket.destroy();
      await server.close();
    }
  });

  it('rejects when its address is taken', async () => {
    const options = {
      host: '127.0.0.1',
      metrics: new Registry(),
      readiness: () => ({ ready: true, reasons: [] }),
      version: '',
    };
    const first = await startHttpServer({ ...options, port: 0 });
    try {
      await assert.rejects(
        startHttpServer({ ...options, port: first.port }),
        /^Error: metrics\.listener cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
      );
    } finally {
      await first.close();
    }
  });
});
