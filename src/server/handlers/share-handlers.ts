import type { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import type { AnyHandler } from '../net/handler.ts';
import { shareGroupHeartbeatHandler } from './76-share-group-heartbeat.ts';
import { shareGroupDescribeHandler } from './77-share-group-describe.ts';
import { shareFetchHandler } from './78-share-fetch.ts';
import { shareAcknowledgeHandler } from './79-share-acknowledge.ts';
import { initializeShareGroupStateHandler } from './83-initialize-share-group-state.ts';
import { readShareGroupStateHandler } from './84-read-share-group-state.ts';
import { writeShareGroupStateHandler } from './85-write-share-group-state.ts';
import { deleteShareGroupStateHandler } from './86-delete-share-group-state.ts';
import { readShareGroupStateSummaryHandler } from './87-read-share-group-state-summary.ts';
import { describeShareGroupOffsetsHandler } from './90-describe-share-group-offsets.ts';
import { alterShareGroupOffsetsHandler } from './91-alter-share-group-offsets.ts';
import { deleteShareGroupOffsetsHandler } from './92-delete-share-group-offsets.ts';

/** The APIs of share groups (KIP-932). */
export function shareHandlers(broker: EmbeddedBroker, topics: TopicNames): AnyHandler[] {
  const { groups } = broker;
  const { states, service } = broker.sharing;
  return [
    shareGroupHeartbeatHandler({ groups }),
    shareGroupDescribeHandler({ groups }),
    shareFetchHandler({ service, quota: broker.clientQuotas.fetch }),
    shareAcknowledgeHandler({ service }),
    initializeShareGroupStateHandler({ states, topics }),
    readShareGroupStateHandler({ states }),
    writeShareGroupStateHandler({ states }),
    deleteShareGroupStateHandler({ states, topics }),
    readShareGroupStateSummaryHandler({ states, topics }),
    describeShareGroupOffsetsHandler({ groups, topics }),
    alterShareGroupOffsetsHandler({ groups, topics }),
    deleteShareGroupOffsetsHandler({ groups, topics }),
  ];
}
