import type { ClientDescription } from '../../broker/telemetry/client-telemetry.ts';
import type { RequestContext } from '../net/handler.ts';

/** What subscriptions to clients' metrics can select a client by. */
export function describeClient({ clientId, connection }: RequestContext): ClientDescription {
  return {
    client_id: clientId ?? '',
    client_software_name: connection.clientSoftwareName,
    client_software_version: connection.clientSoftwareVersion,
    client_source_address: connection.remoteAddress.replace(/^::ffff:/, ''),
    client_source_port: String(connection.remotePort),
  };
}
