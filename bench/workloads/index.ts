import { burst } from './burst.ts';
import { compaction } from './compaction.ts';
import { consume } from './consume.ts';
import { directApi } from './direct.ts';
import { directKept } from './direct-kept.ts';
import { java } from './java.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { migration, migrationFlush } from './migration.ts';
import { mixed } from './mixed.ts';
import { node } from './node.ts';
import { fsync, produce, produceKept } from './produce.ts';
import { rebalance } from './rebalance.ts';
import { recovery } from './recovery.ts';
import { small } from './small.ts';
import { soak } from './soak.ts';
import { startup } from './startup.ts';
import { transactions } from './transactions.ts';
import type { Workload } from './workload.ts';

/** In the order in which they run on a system that has just started. */
export const workloads: readonly Workload[] = [
  startup,
  produce,
  consume,
  mixed,
  latency,
  small,
  transactions,
  rebalance,
  java,
  node,
  recovery,
  memory,
  produceKept,
  directApi,
  directKept,
  compaction,
  fsync,
  burst,
  migration,
  migrationFlush,
  soak,
];

export function selectWorkloads(names: string[] | null, quick: boolean): Workload[] {
  return workloads.filter(({ name, onRequest }) => {
    if (names) return names.includes(name);
    return onRequest !== 'always' && !(quick && onRequest === 'quick');
  });
}
