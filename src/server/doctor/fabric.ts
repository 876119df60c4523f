import { storeWays } from '../../backend/payload/stores/tls/ways.ts';
import type { KafabricConfig } from '../../config/index.ts';
import {
  type FabricProvider,
  type FabricReport,
  FabricTransport,
  inspectFabric,
} from '../../native/fabric.ts';
import type { Way } from '../../native/fabric-choice.ts';
import { silentLogger } from '../../util/logger.ts';
import { fabricSettings } from '../fabric-settings.ts';
import { storesSecurity } from '../store-settings.ts';
import { type Finding, note, ok, problem } from './finding.ts';

/** What would carry payload to peers: libfabric and its providers, and whether what is configured works. */
export async function checkFabric(config: KafabricConfig): Promise<Finding[]> {
  const { wish, options } = fabricSettings(config);
  const report = await inspectFabric(options.library);
  const findings = [library(report, options.library), ...providers(report)];
  let ways: Way[];
  try {
    ways = storeWays(report, wish, storesSecurity(config, silentLogger).tls);
  } catch (error) {
    const advice = 'set fabric.provider and fabric.domain to what is there, or leave them empty';
    return [...findings, problem('fabric', (error as Error).message, advice)];
  }
  return [...findings, await opened(ways, config)];
}

function library(report: FabricReport, configured: string): Finding {
  if (report.path !== '' && report.error === '')
    return ok('fabric', `libfabric ${report.version} (${report.path})`);
  if (configured !== '') return problem('fabric', report.error, 'correct fabric.library, or leave it empty');
  return note('fabric', report.error, 'without it payload goes over plain TCP');
}

/** One finding for each provider, with all its domains. */
function providers({ providers: all }: FabricReport): Finding[] {
  const names = [...new Set(all.map(({ provider }) => provider))];
  return names.map((name) => {
    const its = all.filter(({ provider }) => provider === name);
    const text = `provider ${name}: ${its.map(place).join('; ')}; memory modes ${its[0]!.memoryModes}`;
    return its[0]!.against === ''
      ? ok('fabric', text)
      : note('fabric', text, `only used if it is asked for by name: ${its[0]!.against}`);
  });
}

function place({ domain, network, device, bitsPerSecond }: FabricProvider): string {
  const card = device === '' || device === domain ? '' : ` card ${device}`;
  const speed = bitsPerSecond > 0 ? ` ${(bitsPerSecond / 1e9).toFixed(0)} Gb/s` : '';
  return `${domain} (${network})${card}${speed}`;
}

/** Opens the first of the ways, as a transfer would, and has it register memory: cards need that to be locked. */
async function opened(ways: readonly Way[], config: KafabricConfig): Promise<Finding> {
  const [first] = ways as [Way, ...Way[]];
  const names = [...new Set(ways.map(({ provider }) => provider))];
  const where = first.domain === '' ? '' : ` on ${first.domain}`;
  try {
    const { options } = fabricSettings(config);
    const transport = await FabricTransport.open(first, { ...options, host: '127.0.0.1' });
    try {
      await transport.registerArena();
    } finally {
      await transport.close();
    }
  } catch (error) {
    return problem(
      'fabric',
      `${first.provider}${where} cannot be used: ${(error as Error).message}`,
      'follow what it says, or set fabric.provider to another one, or to plain-tcp',
    );
  }
  const rest = names.length > 1 ? `, or what a peer has of ${names.slice(1).join(', ')}` : '';
  return ok('fabric', `payload would go over ${first.provider}${where}${rest}`);
}
