import { admin } from './admin.ts';
import { configs } from './configs.ts';
import { data } from './data.ts';
import { groups } from './groups.ts';
import { limits } from './limits.ts';
import { logDirs } from './log-dirs.ts';
import { loggers } from './loggers.ts';
import { plainConfigs } from './plain-configs.ts';
import { quotas } from './quotas.ts';
import { shares } from './shares.ts';
import { streamsGroups } from './streams-groups.ts';
import { topics } from './topics.ts';
import { transactions } from './transactions.ts';

/** All calls, in the order in which they are made. */
export const chapters = [
  topics,
  configs,
  plainConfigs,
  limits,
  loggers,
  data,
  groups,
  shares,
  streamsGroups,
  transactions,
  quotas,
  admin,
];

/** Those for brokers with several data directories. */
export const chaptersOfDirectories = [logDirs];
