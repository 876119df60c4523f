import type { Assignor } from './assignor.ts';
import { assignHeterogeneous } from './uniform-heterogeneous.ts';
import { assignHomogeneous } from './uniform-homogeneous.ts';

/** Kafka's `uniform`: as many partitions for each member as can be, and few that change hands. */
export const uniformAssignor: Assignor = {
  name: 'uniform',
  assign(group) {
    if (group.members.length === 0) return new Map();
    return group.isHomogeneous ? assignHomogeneous(group) : assignHeterogeneous(group);
  },
};
