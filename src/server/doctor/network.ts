import { lookup } from 'node:dns/promises';
import { createServer } from 'node:net';
import type { KafabricConfig } from '../../config/index.ts';
import { type Finding, note, ok, problem } from './finding.ts';
import { checkListenerCertificates } from './listener-certificates.ts';

/** Whether the listeners can be opened, and the names that clients are told be found. */
export async function checkNetwork(config: KafabricConfig): Promise<Finding[]> {
  const { listeners, advertisedListeners, listenerTls, metricsListener } = config.resolved;
  const findings: Finding[] = [];
  for (const tls of listenerTls) findings.push(await checkListenerCertificates(tls, Date.now()));
  for (const { name, host, port } of listeners)
    findings.push(await listener(`listener ${name}://${host}:${port}`, host, port, LISTENERS));
  if (metricsListener !== null) {
    const { host, port } = metricsListener;
    findings.push(await listener(`metrics.listener http://${host}:${port}`, host, port, METRICS));
  }
  for (const { name, host, port } of advertisedListeners)
    findings.push(await advertised(`${name}://${host}:${port}`, host));
  return findings;
}

/** What to set, and to what. */
interface Setting {
  readonly key: string;
  readonly rule: string;
}

const LISTENERS: Setting = {
  key: 'listeners',
  rule: 'listeners must name an address of this machine; what clients connect to goes into advertised.listeners',
};
const METRICS: Setting = {
  key: 'metrics.listener',
  rule: 'metrics.listener must name an address of this machine, or nothing',
};

async function listener(text: string, host: string, port: number, { key, rule }: Setting): Promise<Finding> {
  const code = await tryListening(host, port);
  if (code === null) return ok('network', `${text} is free`);
  if (code === 'EADDRINUSE')
    return note(
      'network',
      `${text} is in use`,
      `fine if that is the gateway; otherwise choose another port in ${key}`,
    );
  const advice = code === 'EACCES' ? 'ports below 1024 need CAP_NET_BIND_SERVICE' : rule;
  return problem('network', `${text} cannot be opened (${code})`, advice);
}

/** The error's code, or null. */
function tryListening(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ port, ...(host === '' ? {} : { host }) }, () => server.close(() => resolve(null)));
  });
}

async function advertised(text: string, host: string): Promise<Finding> {
  try {
    const { address } = await lookup(host, { verbatim: false });
    return ok('network', `clients are told ${text}, which is ${address} here`);
  } catch (error) {
    return problem(
      'network',
      `clients are told ${text}: ${(error as Error).message}`,
      'set advertised.listeners to a name that clients can find',
    );
  }
}
