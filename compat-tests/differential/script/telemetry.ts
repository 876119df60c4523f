import { type CaseOptions, chapter } from '../case.ts';
import { alter, NO_UUID, Op, ResourceType, UNKNOWN_UUID } from './build.ts';

const TOTALS = {
  fields: ['deltaTemporality', 'subscriptionId'],
  because: 'the gateway wants totals, and numbers subscriptions in its own way',
} as const;
const GIVEN = {
  fields: ['clientInstanceId', ...TOTALS.fields],
  because: 'ids that are given out are random',
} as const;
/** Kafka announces them only where a reporter takes the metrics. */
const versions = [0, 0] as const;

/** Metrics of clients (KIP-714), for a client that no subscription and one that a subscription matches. */
export const telemetry = chapter('metrics of clients', (call) => {
  const subscriptions = (name: string, clientInstanceId: string, except: CaseOptions['except'] = TOTALS) =>
    call('GetTelemetrySubscriptions', name, { clientInstanceId }, { versions, except: except! });
  const push = (name: string, more: object = {}) =>
    call(
      'PushTelemetry',
      name,
      {
        clientInstanceId: UNKNOWN_UUID,
        subscriptionId: 1,
        terminating: false,
        compressionType: 0,
        metrics: Buffer.alloc(0),
        ...more,
      },
      { versions },
    );
  push('before anything');
  push('of nobody', { clientInstanceId: NO_UUID });
  subscriptions('of a new client', NO_UUID, GIVEN);
  subscriptions('of a client', UNKNOWN_UUID);
  subscriptions('of a client, too soon', UNKNOWN_UUID);
  push('of another subscription', { subscriptionId: 77 });
  push('in a codec that does not exist', { compressionType: 9 });
  call(
    'IncrementalAlterConfigs',
    'for all clients',
    alter(ResourceType.CLIENT_METRICS, 'for-all', [
      ['metrics', Op.SET, '*'],
      ['interval.ms', Op.SET, '100'],
    ]),
    { versions: [1, 1] },
  );
  const later = 'UVVVVVVVVVVVVVVVVVVVWQ';
  subscriptions('once there is one', later);
  push('with no subscription', { clientInstanceId: later, subscriptionId: 0 });
  push('that ends, with another subscription', {
    clientInstanceId: later,
    subscriptionId: 3,
    terminating: true,
  });
  call(
    'IncrementalAlterConfigs',
    'for no clients',
    alter(ResourceType.CLIENT_METRICS, 'for-all', [
      ['metrics', Op.DELETE, null],
      ['interval.ms', Op.DELETE, null],
    ]),
    { versions: [1, 1] },
  );
});
