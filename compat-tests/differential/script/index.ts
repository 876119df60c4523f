import { admin } from './admin.ts';
import { bounds } from './bounds.ts';
import { configs } from './configs.ts';
import { consumerGroups } from './consumer-groups.ts';
import { data } from './data.ts';
import { fetchSessions } from './fetch-sessions.ts';
import { groupTypes } from './group-types.ts';
import { groups } from './groups.ts';
import { limits } from './limits.ts';
import { logDirs } from './log-dirs.ts';
import { loggers } from './loggers.ts';
import { moreConfigs } from './more-configs.ts';
import { plainConfigs } from './plain-configs.ts';
import { quotas } from './quotas.ts';
import { shareOffsets } from './share-offsets.ts';
import { shareSessions } from './share-sessions.ts';
import { shares } from './shares.ts';
import { streamsGroups } from './streams-groups.ts';
import { streamsStates } from './streams-states.ts';
import { telemetry } from './telemetry.ts';
import { topics } from './topics.ts';
import { transactionBrokers } from './transaction-brokers.ts';
import { transactionStates } from './transaction-states.ts';
import { transactions } from './transactions.ts';
import { twiceAdmin } from './twice-admin.ts';
import { twiceGroups } from './twice-groups.ts';
import { twiceTopics } from './twice-topics.ts';

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
  consumerGroups,
  groupTypes,
  streamsStates,
  shareSessions,
  shareOffsets,
  fetchSessions,
  bounds,
  transactionStates,
  transactionBrokers,
  moreConfigs,
  telemetry,
  twiceTopics,
  twiceGroups,
  twiceAdmin,
];

/** Those for brokers with several data directories. */
export const chaptersOfDirectories = [logDirs];
