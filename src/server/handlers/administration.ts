import type { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import type { AdvertisedListener } from '../../config/index.ts';
import type { AnyHandler } from '../net/handler.ts';
import { saslHandshakeHandler } from './17-sasl-handshake.ts';
import { describeAclsHandler } from './29-describe-acls.ts';
import { createAclsHandler } from './30-create-acls.ts';
import { deleteAclsHandler } from './31-delete-acls.ts';
import { saslAuthenticateHandler } from './36-sasl-authenticate.ts';
import { createDelegationTokenHandler } from './38-create-delegation-token.ts';
import { renewDelegationTokenHandler } from './39-renew-delegation-token.ts';
import { expireDelegationTokenHandler } from './40-expire-delegation-token.ts';
import { describeDelegationTokenHandler } from './41-describe-delegation-token.ts';
import { electLeadersHandler } from './43-elect-leaders.ts';
import { alterPartitionReassignmentsHandler } from './45-alter-partition-reassignments.ts';
import { describeClientQuotasHandler } from './48-describe-client-quotas.ts';
import { alterClientQuotasHandler } from './49-alter-client-quotas.ts';
import { describeUserScramCredentialsHandler } from './50-describe-user-scram-credentials.ts';
import { alterUserScramCredentialsHandler } from './51-alter-user-scram-credentials.ts';
import { describeQuorumHandler } from './55-describe-quorum.ts';
import { updateFeaturesHandler } from './57-update-features.ts';
import { unregisterBrokerHandler } from './64-unregister-broker.ts';
import { getTelemetrySubscriptionsHandler } from './71-get-telemetry-subscriptions.ts';
import { pushTelemetryHandler } from './72-push-telemetry.ts';
import { addRaftVoterHandler } from './80-add-raft-voter.ts';
import { removeRaftVoterHandler } from './81-remove-raft-voter.ts';

/** The APIs of administration, apart from those of topics and configurations. */
export function administrationHandlers(
  broker: EmbeddedBroker,
  advertised: readonly AdvertisedListener[],
): AnyHandler[] {
  const { metadata, quotas, scram, telemetry } = broker;
  return [
    describeClientQuotasHandler({ quotas }),
    alterClientQuotasHandler({ quotas }),
    saslHandshakeHandler(),
    describeAclsHandler(),
    createAclsHandler(),
    deleteAclsHandler(),
    saslAuthenticateHandler(),
    createDelegationTokenHandler(),
    renewDelegationTokenHandler(),
    expireDelegationTokenHandler(),
    describeDelegationTokenHandler(),
    electLeadersHandler({ metadata }),
    alterPartitionReassignmentsHandler({ metadata }),
    describeUserScramCredentialsHandler({ scram }),
    alterUserScramCredentialsHandler({ scram }),
    describeQuorumHandler({ metadata, advertised, clock: broker.clock }),
    updateFeaturesHandler({ metadata }),
    unregisterBrokerHandler({ metadata }),
    getTelemetrySubscriptionsHandler({ telemetry }),
    pushTelemetryHandler({ telemetry }),
    addRaftVoterHandler({ metadata }),
    removeRaftVoterHandler({ metadata }),
  ];
}
