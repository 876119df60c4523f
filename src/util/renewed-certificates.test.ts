import assert from 'node:assert/strict';
import { silentLogger } from './logger.ts';
import { RenewedCertificates } from './renewed-certificates.ts';
import { VirtualClock } from './testing/virtual-clock.ts';

describe('Certificates from files', () => {
  it('are no trouble any more when files that could not be looked at are there again', async () => {
    let isAway = false;
    const source = {
      whose: 'of a test',
      stamp: async () => {
        if (isAway) throw new Error('the directory is away');
        return 'the same';
      },
      read: async () => ({ subject: 'CN=a', authorities: [], expiresMs: Number.POSITIVE_INFINITY }),
      use: () => undefined,
    };
    const certificates = new RenewedCertificates(source, new VirtualClock(), silentLogger);
    await certificates.refresh();
    isAway = true;
    await certificates.refresh();
    assert.equal(certificates.trouble, 'the directory is away');
    isAway = false;
    await certificates.refresh();
    assert.deepEqual([certificates.trouble, certificates.reloads], [null, 0]);
  });
});
