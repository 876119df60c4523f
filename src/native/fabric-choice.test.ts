import assert from 'node:assert/strict';
import type { FabricProvider, FabricReport } from './fabric.ts';
import { directWays, hostIdentity, matchWays, noWayInCommon, usableWays, type Way } from './fabric-choice.ts';

const way = (provider: string, domain: string, network: string): Way => ({ provider, domain, network });
const found = (provider: string, domain: string, network: string, against = ''): FabricProvider => ({
  ...way(provider, domain, network),
  device: '',
  bitsPerSecond: 0,
  memoryModes: 'none',
  against,
});
const report = (...providers: FabricProvider[]): FabricReport => ({
  path: providers.length > 0 ? '/lib/libfabric.so.1' : '',
  version: '1.17',
  error: providers.length > 0 ? '' : 'libfabric cannot be used',
  tried: [],
  providers,
});
const anything = { provider: '', domain: '' };
const names = (ways: readonly Way[]) => ways.map(({ provider, domain }) => `${provider}@${domain}`);

describe('the choice of a fabric', () => {
  const all = report(
    found('shm', 'shm', 'shm', 'it hangs'),
    found('verbs;ofi_rxm', 'mlx5_0', 'IB-0xfe80000000000000'),
    found('tcp;ofi_rxm', 'eth0', '10.1.0.0/16'),
    found('tcp;ofi_rxm', 'lo', '127.0.0.1/32'),
    found('sockets', 'eth0', '10.1.0.0/16'),
  );

  it('takes for direct clients what has RDMA, others when they are named and the configuration says so', () => {
    assert.deepEqual(names(directWays(all, anything, '')), ['verbs;ofi_rxm@mlx5_0']);
    assert.deepEqual(names(directWays(all, anything, 'verbs;ofi_rxm')), ['verbs;ofi_rxm@mlx5_0']);
    for (const provider of ['tcp;ofi_rxm', 'shm', 'sockets', 'cxi', 'plain-tcp'])
      assert.deepEqual(directWays(all, anything, provider), [], provider);
    const tcp = { provider: 'tcp;ofi_rxm', domain: 'lo' };
    assert.deepEqual(directWays(all, tcp, ''), []);
    assert.deepEqual(names(directWays(all, tcp, 'tcp;ofi_rxm')), ['tcp;ofi_rxm@lo']);
    assert.deepEqual(names(directWays(all, { provider: 'shm', domain: '' }, 'shm')), ['shm@shm']);
    assert.deepEqual(directWays(all, { provider: 'plain-tcp', domain: '' }, ''), []);
    assert.throws(
      () => directWays(all, { provider: 'cxi', domain: '' }, ''),
      /fabric\.provider=cxi is not available/,
    );
    const newer = report(found('shm', 'shm', 'shm'));
    assert.deepEqual(directWays(newer, anything, 'shm'), []);
  });

  it('takes all that is fit, and plain TCP last', () => {
    assert.deepEqual(names(usableWays(all, anything)), [
      'verbs;ofi_rxm@mlx5_0',
      'tcp;ofi_rxm@eth0',
      'tcp;ofi_rxm@lo',
      'plain-tcp@',
    ]);
    assert.deepEqual(names(usableWays(report(), anything)), ['plain-tcp@']);
  });

  it('never replaces what was asked for by name', () => {
    assert.deepEqual(names(usableWays(all, { provider: 'shm', domain: '' })), ['shm@shm']);
    assert.deepEqual(names(usableWays(all, { provider: 'sockets', domain: 'eth0' })), ['sockets@eth0']);
    assert.deepEqual(names(usableWays(all, { provider: 'plain-tcp', domain: '' })), ['plain-tcp@']);
    assert.deepEqual(names(usableWays(all, { provider: '', domain: 'lo' })), ['tcp;ofi_rxm@lo']);
    assert.throws(
      () => usableWays(all, { provider: 'cxi', domain: '' }),
      /^Error: fabric.provider=cxi is not available: there is shm on shm, verbs;ofi_rxm on mlx5_0, /,
    );
    assert.throws(
      () => usableWays(all, { provider: 'tcp;ofi_rxm', domain: 'eth1' }),
      /fabric.provider=tcp;ofi_rxm with fabric.domain=eth1 is not available/,
    );
    assert.throws(() => usableWays(report(), { provider: 'cxi', domain: '' }), /libfabric cannot be used/);
  });

  const shm = way('shm', 'shm', 'shm');
  const verbs = way('verbs;ofi_rxm', 'mlx5_0', 'IB-1');
  const eth = way('tcp;ofi_rxm', 'eth0', '10.1.0.0/16');
  const far = way('tcp;ofi_rxm', 'eth3', '10.2.0.0/16');
  const lo = way('tcp;ofi_rxm', 'lo', '127.0.0.1/32');
  const linkLocal = way('tcp;ofi_rxm', 'eth0', 'fe80::/64');
  const plain = way('plain-tcp', '', '');
  const matched = (ours: Way[], theirs: Way[], sameHost: boolean) =>
    matchWays(ours, theirs, sameHost).map(([our, their]) => `${our.domain}-${their.domain}`);

  it('takes the fastest that both have', () => {
    assert.deepEqual(matched([shm, verbs, eth, plain], [eth, plain, verbs], false), [
      'mlx5_0-mlx5_0',
      'eth0-eth0',
      '-',
    ]);
    assert.deepEqual(matched([verbs, plain], [eth], false), []);
  });

  it('uses shared memory and loopback only on one machine', () => {
    assert.deepEqual(matched([shm, lo, plain], [shm, lo, plain], true), ['shm-shm', 'lo-lo', '-']);
    assert.deepEqual(matched([shm, lo, plain], [shm, lo, plain], false), ['-']);
    assert.deepEqual(matched([eth, lo], [lo, eth], true), ['eth0-eth0', 'lo-lo']);
  });

  it('tries routed networks after its own, of TCP alone', () => {
    assert.deepEqual(matched([eth, far], [far], false), ['eth3-eth3', 'eth0-eth3']);
    assert.deepEqual(matched([verbs], [way('verbs;ofi_rxm', 'mlx5_0', 'IB-2')], false), []);
    assert.deepEqual(matched([eth, linkLocal], [linkLocal], false), []);
  });

  it('say what to set, and where, when none matches', () => {
    const store = { name: 'the store', setting: 'fabric.provider' };
    const gateway = { name: 'the gateway', setting: 'fabric.provider' };
    assert.equal(
      noWayInCommon({ ...store, ways: [eth] }, { ...gateway, ways: [shm, plain] }),
      'no way in common: the store has tcp;ofi_rxm; the gateway has shm, plain-tcp: fabric.provider of the store allows nothing else, and the gateway does not take that unasked, or lacks it: set fabric.provider=tcp;ofi_rxm at the gateway too (kafabric doctor there says whether it can), or leave fabric.provider empty at the store',
    );
    assert.match(
      noWayInCommon({ ...store, ways: [verbs, plain] }, { ...gateway, ways: [eth, lo] }),
      /set fabric\.provider=tcp;ofi_rxm at the store too .* or leave fabric\.provider empty at the gateway$/,
    );
    assert.match(
      noWayInCommon({ ...store, ways: [verbs] }, { ...gateway, ways: [plain] }),
      /: name one that both have/,
    );
    assert.match(
      noWayInCommon({ ...store, ways: [lo] }, { ...gateway, ways: [eth, far] }),
      /both have tcp;ofi_rxm, but .*the store on lo \(127\.0\.0\.1\/32\); the gateway on eth0 \(10\.1\.0\.0\/16\), eth3 .*set fabric\.domain/,
    );
  });

  it('knows this host again', () => {
    assert.equal(hostIdentity(), hostIdentity());
    assert.match(hostIdentity(), /^[0-9a-f-]{36} pid:\[\d+\] ipc:\[\d+\] mnt:\[\d+\] \d+$/);
  });
});
