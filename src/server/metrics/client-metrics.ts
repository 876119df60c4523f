import { Gauge, type Registry } from 'prom-client';
import type { ClientTelemetry } from '../../broker/telemetry/client-telemetry.ts';

const LABELS = ['metric', 'client_id', 'client_instance_id', 'client_software', 'attributes'] as const;

/** Exports what clients have pushed (KIP-714), as it was pushed last: every number under one name, told apart by its labels. */
export function exportClientMetrics(registry: Registry, telemetry: ClientTelemetry): void {
  new Gauge({
    name: 'kafabric_client_metric',
    help: 'What subscribed clients have pushed (client-metrics configurations), by the name that OpenTelemetry has for it.',
    labelNames: [...LABELS],
    registers: [registry],
    collect() {
      this.reset();
      for (const { instanceId, description, metrics } of telemetry.clients()) {
        const { client_id, client_software_name, client_software_version } = description;
        for (const { name, value, attributes } of metrics) {
          const labels = {
            metric: name,
            client_id,
            client_instance_id: instanceId,
            client_software: `${client_software_name} ${client_software_version}`,
            attributes: [...attributes].map((pair) => pair.join('=')).join(','),
          };
          this.set(labels, value);
        }
      }
    },
  });
}
