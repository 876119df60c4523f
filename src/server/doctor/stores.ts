import { addressesOf } from '../../backend/payload/stores/addresses.ts';
import type { StoreError } from '../../backend/payload/stores/messages.ts';
import { StoreConnection } from '../../backend/payload/stores/store-connection.ts';
import { splitAddress } from '../../backend/payload/stores/store-peer.ts';
import { newIncarnation, storedName } from '../../backend/payload/stores/stored-name.ts';
import type { StoresSecurity } from '../../backend/payload/stores/tls/stores-tls.ts';
import { storeWays } from '../../backend/payload/stores/tls/ways.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { type FabricReport, FabricTransport, inspectFabric, TLS_TCP } from '../../native/fabric.ts';
import { hostIdentity, NO_WAY_IN_COMMON, type Way } from '../../native/fabric-choice.ts';
import { systemClock } from '../../util/clock.ts';
import { silentLogger } from '../../util/logger.ts';
import { fabricSettings } from '../fabric-settings.ts';
import { storesSecurity } from '../store-settings.ts';
import { checkCertificates } from './certificates.ts';
import { binaryBytes, type Finding, note, ok, type Progress, problem } from './finding.ts';
import { judge, linkOf, measureSpeed } from './store-speed.ts';

const ROUND_TRIPS = 50;
const PIECE_BYTES = 4 << 20;
const PIECES = 16;
/** Clocks further apart make logs hard to read side by side. */
const MAX_SKEW_MS = 1000;
/** What looking at a store over one provider may take at the most. */
const LONGEST_MS = 60_000;
/** Of the files that are written to measure: of no gateway. */
const IDENTITY = { role: 'gateway', cluster: 'doctor', node: 0 } as const;
const PARTITION = 'doctor-0.AAAAAAAAAAAAAAAAAAAAAA';

/**
 * Whether the stores of `payload.stores` are there, over what, and how fast. `measure`: write 64 MiB to each, which are removed again, and time each
 * provider that both ends take.
 */
export async function checkStores(
  config: KafabricConfig,
  measure: boolean,
  progress: Progress = () => undefined,
): Promise<Finding[]> {
  const configured = config.get('payload.stores');
  if (configured.length === 0) return [];
  let addresses: string[];
  let reach: Reach;
  try {
    addresses = await addressesOf(configured, silentLogger);
    const security = storesSecurity(config, silentLogger);
    await security.tls?.refresh();
    const { wish, options } = fabricSettings(config);
    const report = await inspectFabric(options.library);
    reach = { config, security, report, ways: storeWays(report, wish, security.tls) };
  } catch (error) {
    return [problem('stores', (error as Error).message, 'see docs/stores.md')];
  }
  const { security } = reach;
  if (security.secret === '' && !security.tls?.certificate)
    return [
      problem(
        'stores',
        'payload.stores without a secret or a certificate',
        'set payload.stores.secret.file, or payload.stores.ssl.keystore.location',
      ),
    ];
  if (addresses.length === 0)
    return [
      problem('stores', `${configured.join()} names no store`, 'start stores, or correct payload.stores'),
    ];
  const findings: Finding[] = checkCertificates(security.tls, Date.now());
  let there = 0;
  for (const address of addresses) {
    const found = await checkStore(reach, address, measure, progress);
    // One that is slow is there.
    if (found[0]!.status !== 'problem') there++;
    findings.push(...found);
  }
  const replicas = Math.min(config.get('payload.replicas'), config.get('payload.min.insync.replicas'));
  if (there < replicas)
    findings.push(
      problem(
        'stores',
        `${there} stores are there, ${replicas} must have an extent before it is acknowledged`,
        'start more stores, or lower payload.min.insync.replicas',
      ),
    );
  return findings;
}

/** How to reach stores from here. */
interface Reach {
  readonly config: KafabricConfig;
  readonly security: StoresSecurity;
  readonly report: FabricReport;
  readonly ways: readonly Way[];
}

async function checkStore(
  reach: Reach,
  address: string,
  measure: boolean,
  progress: Progress,
): Promise<Finding[]> {
  let used = '';
  const findings = await withStore(reach, address, reach.ways, async (connection) => {
    used = connection.provider;
    progress(`store ${address} over ${used}`);
    const found = await examine(connection, address, measure, Boolean(reach.security.tls));
    if (!measure || found[0]!.status === 'problem') return found;
    return [...found, ...(await speedOver(reach, address, connection, true))];
  }).catch((error: Error) => {
    const advice =
      used === ''
        ? 'start it, or correct payload.stores, the secret, payload.stores.ssl.*, or fabric.provider on either end'
        : 'see its log';
    return [problem('stores', `store ${address}: ${error.message}`, advice)];
  });
  if (!measure || findings[0]!.status === 'problem') return findings;
  const others = new Set(reach.ways.map(({ provider }) => provider));
  others.delete(used);
  for (const provider of others) {
    progress(`store ${address} over ${provider}`);
    findings.push(...(await checkProvider(reach, address, provider)));
  }
  return findings;
}

/** What a provider does that is not the first choice; nothing where the store does not have it, or takes it only by name. */
async function checkProvider(reach: Reach, address: string, provider: string): Promise<Finding[]> {
  const ways = reach.ways.filter((way) => way.provider === provider);
  try {
    return await withStore(reach, address, ways, (connection) =>
      speedOver(reach, address, connection, false),
    );
  } catch (error) {
    const { message } = error as Error;
    if (message.includes(NO_WAY_IN_COMMON)) return [];
    return [
      note(
        'stores',
        `store ${address} over ${provider}, which is not used: ${message}`,
        'FI_LOG_LEVEL=warn makes libfabric say more; see docs/fabric.md',
      ),
    ];
  }
}

async function speedOver(
  { report }: Reach,
  store: string,
  connection: StoreConnection,
  isUsed: boolean,
): Promise<Finding[]> {
  const { provider, domain } = connection;
  const way = { store, provider, domain, isUsed };
  const bitsPerSecond = linkOf(report.providers, way);
  try {
    return judge({ ...way, bitsPerSecond }, await measureSpeed(connection));
  } catch (error) {
    if ((error as StoreError).code !== 'EBUSY') throw error;
    return [note('stores', `store ${store}: ${(error as Error).message}`, 'measure again in a moment')];
  }
}

/** Rejects with an Error for people when the store cannot be reached, or does not do what it is asked for in time. */
async function withStore(
  { config, security }: Reach,
  address: string,
  ways: readonly Way[],
  action: (connection: StoreConnection) => Promise<Finding[]>,
): Promise<Finding[]> {
  const { options } = fabricSettings(config);
  const connection = await StoreConnection.open({
    ...splitAddress(address),
    ...security,
    identity: IDENTITY,
    requestTimeoutMs: config.get('payload.stores.request.timeout.ms'),
    clock: systemClock,
    fabric: {
      ways,
      host: hostIdentity(),
      arenaBytes: arenaStats().capacityBytes,
      open: (way) => FabricTransport.open(way, { ...options, listen: false }),
    },
  });
  const timer = systemClock.setTimer(LONGEST_MS, () => connection.end('it took too long'));
  try {
    return await action(connection);
  } finally {
    timer.cancel();
    connection.end('examined');
    await connection.closed;
  }
}

/** Where the control connection is encrypted. */
const encryption = (provider: string) =>
  provider === TLS_TCP ? ' (encrypted)' : ' (payload is not encrypted, the rest is)';

async function examine(
  connection: StoreConnection,
  address: string,
  measure: boolean,
  encrypted: boolean,
): Promise<Finding[]> {
  const { store, provider, domain } = connection;
  const { roundTripMs, skewMs } = await roundTrips(connection);
  const { freeBytes, draining, trouble, outage } = connection.status;
  const where = `${provider}${domain === '' ? '' : ` on ${domain}`}${encrypted ? encryption(provider) : ''}`;
  const zone = store.zone === '' ? '' : `, zone ${store.zone}`;
  const rates = measure && trouble === undefined ? `, ${await transferRates(connection)}` : '';
  const text = `store ${address} (${store.id}${zone}): ${where}, ${roundTripMs.toFixed(2)} ms there and back, clock ${Math.abs(skewMs).toFixed(1)} ms ${skewMs > 0 ? 'ahead' : 'behind'}${rates}, ${binaryBytes(freeBytes)} free`;
  if (trouble !== undefined)
    return [
      problem(
        'stores',
        `${text}; it takes nothing new: ${trouble}`,
        'see to its disk; it tries again by itself',
      ),
    ];
  const first = draining
    ? note('stores', text, 'it is being drained, and gets nothing new')
    : ok('stores', text);
  const found = [first, ...outOfUse(address, outage)];
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return found;
  const clock = `the clock of store ${address} is ${(skewMs / 1000).toFixed(1)} s ${skewMs > 0 ? 'ahead' : 'behind'}`;
  return [...found, note('stores', clock, 'synchronise the clocks (chrony, ntpd)')];
}

/** `outage`: of directories of its tiers. */
function outOfUse(address: string, outage: string | undefined): Finding[] {
  if (outage === undefined) return [];
  const advice = 'mend the directory, and start the store again; what is there may be unavailable';
  return [problem('stores', `store ${address}: ${outage}`, advice)];
}

async function roundTrips(connection: StoreConnection): Promise<{ roundTripMs: number; skewMs: number }> {
  const times: number[] = [];
  let skewMs = 0;
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const began = performance.now();
    const wall = Date.now();
    const { nowMs } = await connection.request({ op: 'status' });
    const took = performance.now() - began;
    times.push(took);
    skewMs = nowMs - (wall + took / 2);
  }
  return { roundTripMs: times.sort((a, b) => a - b)[ROUND_TRIPS >> 1]!, skewMs };
}

/** Of writing to the store's disk, and of reading back what it still has in memory. */
async function transferRates(connection: StoreConnection): Promise<string> {
  const memory = NativeMemory.allocate(PIECE_BYTES);
  if (memory === null) return 'no memory to measure with';
  const file = storedName({ partition: PARTITION, segment: 0, incarnation: newIncarnation(PARTITION) });
  const { key } = connection;
  const order = { file, length: PIECE_BYTES, key, timeoutMs: 30_000 };
  const positions = Array.from({ length: PIECES }, (_, i) => i * PIECE_BYTES);
  const timed = async (action: () => Promise<unknown>) => {
    const began = performance.now();
    await action();
    return (PIECES * PIECE_BYTES) / 1e6 / ((performance.now() - began) / 1000);
  };
  try {
    // Of a measurement that was interrupted.
    const { files } = await connection.request({ op: 'list', after: '' });
    for (const left of files) await connection.request({ op: 'remove', file: left.file });
    await connection.request({ op: 'create', file });
    const writing = await timed(async () => {
      const appends = positions.map((position) =>
        connection.request({
          op: 'append',
          ...order,
          position,
          source: memory.arenaOffset,
          fromMemory: false,
        }),
      );
      await Promise.all(appends);
      await connection.request({ op: 'sync', file });
    });
    const reading = await timed(() =>
      Promise.all(
        positions.map((position) =>
          connection.request({ op: 'read', ...order, position, seed: 0, target: memory.arenaOffset }),
        ),
      ),
    );
    return `writes ${writing.toFixed(0)} MB/s to its disk, gives ${reading.toFixed(0)} MB/s`;
  } finally {
    await connection.request({ op: 'remove', file }).catch(() => undefined);
    memory.release();
  }
}
