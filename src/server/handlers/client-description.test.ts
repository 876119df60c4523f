import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { RequestContext } from '../net/handler.ts';
import { describeClient } from './client-description.ts';

describe('what a client says of itself', () => {
  it('is cut: each of its numbers is exported with it', () => {
    const long = 'x'.repeat(32_767);
    const connection = { remoteAddress: '::ffff:10.0.0.1', remotePort: 50_000 };
    const described = (text: string) =>
      describeClient({
        clientId: text,
        connection: { ...connection, clientSoftwareName: text, clientSoftwareVersion: text },
      } as RequestContext);
    const cut = 'x'.repeat(256);
    for (const text of [cut, long])
      assert.deepEqual(described(text), {
        client_id: cut,
        client_software_name: cut,
        client_software_version: cut,
        client_source_address: '10.0.0.1',
        client_source_port: '50000',
      });
  });
});
