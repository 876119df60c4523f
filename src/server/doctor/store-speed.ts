import type { Measured } from '../../backend/payload/stores/messages.ts';
import type { StoreConnection } from '../../backend/payload/stores/store-connection.ts';
import { NativeMemory } from '../../native/arena.ts';
import type { FabricProvider } from '../../native/fabric.ts';
import { type Finding, note, ok, problem } from './finding.ts';

const MEASURED_BYTES = 8 << 20;
/** Less than this part of what the way is capable of is a problem. */
const LOW_SHARE = 0.5;
/** The way itself has less than this part of what the link is said to have. */
const LOW_LINK_SHARE = 0.5;

/** What moves between a gateway and a store over one provider, from the store's side. */
export interface StoreSpeed {
  readonly taken: Measured;
  readonly given: Measured;
}

/** Where it was measured. */
export interface MeasuredWay {
  readonly store: string;
  readonly provider: string;
  readonly domain: string;
  /** A gateway with this configuration would use it. */
  readonly isUsed: boolean;
  /** Of the link; 0 when it is not known. */
  readonly bitsPerSecond: number;
}

/** Both directions; takes a second, and a part of the arena. */
export async function measureSpeed(connection: StoreConnection): Promise<StoreSpeed> {
  const memory = NativeMemory.allocate(MEASURED_BYTES);
  if (memory === null) throw new Error('there is no memory to measure with');
  try {
    const range = { offset: memory.arenaOffset, length: MEASURED_BYTES };
    return { taken: await connection.measure(false, range), given: await connection.measure(true, range) };
  } finally {
    memory.release();
  }
}

export function linkOf(
  providers: readonly FabricProvider[],
  { provider, domain }: { provider: string; domain: string },
): number {
  return providers.find((one) => one.provider === provider && one.domain === domain)?.bitsPerSecond ?? 0;
}

const share = ({ bytesPerSecond, limitBytesPerSecond }: Measured) =>
  limitBytesPerSecond > 0 ? bytesPerSecond / limitBytesPerSecond : 0;
const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(2);

function rate(speed: Measured): string {
  const percent = Math.round(share(speed) * 100);
  return `${gigabytes(speed.bytesPerSecond)} GB/s of ${gigabytes(speed.limitBytesPerSecond)} (${percent} %)`;
}

function latency({ medianMs, limitMedianMs }: Measured): string {
  return `${medianMs.toFixed(3)} ms of ${limitMedianMs.toFixed(3)}`;
}

/** What to think of it. */
export function judge(way: MeasuredWay, { taken, given }: StoreSpeed): Finding[] {
  const { store, provider, domain, isUsed, bitsPerSecond } = way;
  const where = `store ${store} over ${provider}${domain === '' ? '' : ` on ${domain}`}`;
  const use = isUsed ? 'which is used' : 'which is not used';
  const text = `${where}, ${use}: takes ${rate(taken)}, gives ${rate(given)}; 4 KiB, median: ${latency(taken)} taken, ${latency(given)} given; each beside the bare provider`;
  const values = { store, provider, domain, isUsed, taken, given };
  const findings: Finding[] = [];
  if (Math.min(share(taken), share(given)) < LOW_SHARE)
    findings.push({
      ...problem(
        'stores',
        text,
        'look for busy processors at both ends (top), measure again when they are idle, and try fabric.piece.bytes=1048576 with fabric.window=8',
      ),
      values,
    });
  else findings.push({ ...ok('stores', text), values });
  const limit = Math.max(taken.limitBytesPerSecond, given.limitBytesPerSecond);
  if (bitsPerSecond > 0 && limit * 8 < LOW_LINK_SHARE * bitsPerSecond)
    findings.push(
      note(
        'stores',
        `${where}: the provider itself moves ${gigabytes(limit)} GB/s of the ${gigabytes(bitsPerSecond / 8)} GB/s of the link`,
        'look at the MTU, at other traffic, and at which interface fabric.domain names',
      ),
    );
  return findings;
}
