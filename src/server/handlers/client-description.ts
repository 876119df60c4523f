import type { ClientDescription } from '../../broker/telemetry/client-telemetry.ts';
import type { RequestContext } from '../net/handler.ts';

/** Each number of a client is exported with what it says of itself, which may be a hundred times as long. */
const TEXT_MAX_LENGTH = 256;

/** What subscriptions to clients' metrics can select a client by. */
export function describeClient({ clientId, connection }: RequestContext): ClientDescription {
  const { clientSoftwareName, clientSoftwareVersion } = connection;
  return {
    client_id: cut(clientId ?? ''),
    client_software_name: cut(clientSoftwareName),
    client_software_version: cut(clientSoftwareVersion),
    client_source_address: connection.remoteAddress.replace(/^::ffff:/, ''),
    client_source_port: String(connection.remotePort),
  };
}

/** A copy: a part of a text keeps all of it in memory. */
function cut(text: string): string {
  return text.length <= TEXT_MAX_LENGTH ? text : Buffer.from(text.slice(0, TEXT_MAX_LENGTH)).toString();
}
