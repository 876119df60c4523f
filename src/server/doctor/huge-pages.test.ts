import assert from 'node:assert/strict';
import { hugePagesOf } from './huge-pages.ts';

const POLICY = 'always within_size advise [never] deny force\n';
const mount = (at: string, type: string, options: string) =>
  `30 23 0:26 / ${at} rw,nosuid shared:4 - ${type} ${type} ${options}\n`;

describe('huge pages of the arena', () => {
  const find = (directory: string, mounts: string, policy = POLICY, reservedFree = 0) =>
    hugePagesOf(directory, 64 << 20, { mounts: mount('/', 'ext4', 'rw') + mounts, policy, reservedFree });

  it('are there where the tmpfs gives them', () => {
    for (const huge of ['advise', 'within_size', 'always']) {
      const { status, text } = find('/dev/shm', mount('/dev/shm', 'tmpfs', `rw,size=24684096k,huge=${huge}`));
      assert.equal(status, 'ok');
      assert.equal(text, `/dev/shm gives huge pages (huge=${huge})`);
    }
    assert.equal(find('/dev/shm', '', 'always within_size advise never deny [force]').status, 'ok');
  });

  it('need a mount option otherwise, of the mount that the directory is on', () => {
    const mounts = mount('/dev', 'devtmpfs', 'rw,huge=always') + mount('/dev/shm', 'tmpfs', 'rw');
    const { status, text, advice } = find('/dev/shm/below', mounts);
    assert.equal(status, 'note');
    assert.match(text, /^\/dev\/shm\/below gives no huge pages/);
    assert.match(
      advice!,
      /^mount -o remount,huge=within_size \/dev\/shm; for good, in \/etc\/fstab: tmpfs \/dev\/shm tmpfs defaults,huge=within_size 0 0$/,
    );
    assert.equal(find('/dev/shm', mount('/dev/shm', 'tmpfs', 'rw,huge=never')).status, 'note');
    const over = mount('/dev/shm', 'tmpfs', 'rw,huge=advise') + mount('/dev/shm', 'tmpfs', 'rw');
    assert.equal(find('/dev/shm', over).status, 'note', 'mounted over the one before');
    assert.match(
      find('/dev/shmem', mount('/dev', 'devtmpfs', 'rw')).advice!,
      /^mount -t tmpfs -o huge=within_size/,
    );
  });

  it('depend on the kernel', () => {
    const mounts = mount('/dev/shm', 'tmpfs', 'rw,huge=advise');
    assert.match(find('/dev/shm', mounts, '').text, /CONFIG_TRANSPARENT_HUGEPAGE/);
    const denied = find('/dev/shm', mounts, 'always within_size advise never [deny] force');
    assert.equal(denied.status, 'note');
    assert.match(denied.advice!, /echo never > .*shmem_enabled/);
  });

  it('of a hugetlbfs have to be reserved', () => {
    const mounts = mount('/mnt/huge', 'hugetlbfs', 'rw,pagesize=2M');
    assert.equal(find('/mnt/huge', mounts, POLICY, 40).status, 'ok');
    const { status, advice } = find('/mnt/huge', mounts, POLICY, 39);
    assert.equal(status, 'note');
    assert.match(advice!, /vm\.nr_hugepages=40/);
  });
});
