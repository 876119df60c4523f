import { readFile } from 'node:fs/promises';
import type { KafabricConfig } from '../../config/index.ts';
import { arenaBytes } from '../memory.ts';
import { type Finding, note, ok } from './finding.ts';
import { type Mount, mountOf, readMounts } from './mounts.ts';

const TRANSPARENT = '/sys/kernel/mm/transparent_hugepage';
const PAGE_BYTES = 2 << 20;
/** What the arena's file has before its data. */
const HEADER_PAGES = 8;
const RESERVED = '/sys/kernel/mm/hugepages/hugepages-2048kB';

/** What decides it, besides the mount. */
export interface HugePageSources {
  /** Of /proc/self/mountinfo. */
  readonly mounts: string;
  /** The kernel's policy for shared memory, "always within_size advise [never] deny force"; empty without transparent huge pages. */
  readonly policy: string;
  /** Pages of hugetlbfs that nobody has. */
  readonly reservedFree: number;
}

/** Whether the arena's memory comes in huge pages, and how to have them if not. */
export async function checkHugePages(config: KafabricConfig): Promise<Finding> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '');
  return hugePagesOf(config.get('arena.directory'), arenaBytes(config), {
    mounts: await readMounts(),
    policy: await read(`${TRANSPARENT}/shmem_enabled`),
    reservedFree: Number(await read(`${RESERVED}/free_hugepages`)),
  });
}

export function hugePagesOf(
  directory: string,
  bytes: number,
  { mounts, policy, reservedFree }: HugePageSources,
): Finding {
  const mount = mountOf(directory, mounts);
  if (mount?.type === 'hugetlbfs') return reservedPages(directory, bytes, reservedFree);
  const selected = /\[(\w+)\]/.exec(policy)?.[1];
  if (selected === undefined)
    return ok('memory', 'this kernel has no huge pages for shared memory (CONFIG_TRANSPARENT_HUGEPAGE)');
  if (selected === 'deny')
    return note(
      'memory',
      `${TRANSPARENT}/shmem_enabled is "deny": no huge pages for shared memory`,
      `echo never > ${TRANSPARENT}/shmem_enabled, which leaves it to the mounts`,
    );
  const huge = mount?.options.find((option) => option.startsWith('huge=') && option !== 'huge=never');
  if (selected === 'force' || huge !== undefined)
    return ok('memory', `${directory} gives huge pages (${huge ?? 'shmem_enabled is "force"'})`);
  return note(
    'memory',
    `${directory} gives no huge pages, in which fresh memory costs less where it is not first to be had of a host (docs/memory.md)`,
    adviceFor(mount),
  );
}

function reservedPages(directory: string, bytes: number, free: number): Finding {
  const needed = Math.ceil(bytes / PAGE_BYTES) + HEADER_PAGES;
  const text = `${directory} is a hugetlbfs: of huge pages of 2 MiB ${free} are reserved and free, the arena needs ${needed}`;
  if (free >= needed) return ok('memory', text);
  return note(
    'memory',
    text,
    `fine if a gateway that runs has them; else sysctl -w vm.nr_hugepages=${needed}, for good in /etc/sysctl.conf`,
  );
}

function adviceFor(mount: Mount | null): string {
  if (mount?.type !== 'tmpfs')
    return 'mount -t tmpfs -o huge=within_size,mode=1777 tmpfs DIRECTORY, and set arena.directory to it';
  const { at } = mount;
  return `mount -o remount,huge=within_size ${at}; for good, in /etc/fstab: tmpfs ${at} tmpfs defaults,huge=within_size 0 0`;
}
