import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { freePort } from './free-port.ts';

describe('free ports', () => {
  it('are different each time, and can be listened on', async () => {
    const ports = await Promise.all(Array.from({ length: 200 }, () => freePort()));
    assert.equal(new Set(ports).size, ports.length);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(ports[0], '127.0.0.1', resolve));
    await new Promise((resolve) => server.close(resolve));
  });

  it('are none that an outgoing connection may be given', async () => {
    const [low, high] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      .trim()
      .split(/\s+/)
      .map(Number);
    if (low! <= 10_000) return; // such connections may be given every port
    for (let i = 0; i < 50; i++) {
      const port = await freePort();
      assert.ok(port < low! || port > high!, `${port} is between ${low} and ${high}`);
    }
  });

  it('are refused for a host that is not of this machine', async () => {
    await assert.rejects(freePort('192.0.2.1'), { code: 'EADDRNOTAVAIL' });
  });
});
