import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { type FabricReport, PLAIN_TCP, TLS_TCP } from './fabric.ts';

/** A way to reach peers: a provider on a domain. */
export interface Way {
  readonly provider: string;
  readonly domain: string;
  readonly network: string;
}

/** What the configuration asks for; empty: whatever is fastest. */
export interface FabricWish {
  readonly provider: string;
  readonly domain: string;
}

/** Stands for all networks: plain TCP goes wherever the control connection goes. */
const PLAIN_TCP_WAY: Way = { provider: PLAIN_TCP, domain: '', network: '' };
const SHARED_MEMORY = 'shm';
/** Never chosen unasked: slow, and meant for tests of libfabric. */
const UNASKED_NEVER = new Set(['sockets']);
/** Their networks move data without the processors of either end. */
const RDMA = new Set(['verbs', 'cxi', 'efa', 'opx', 'psm3']);
/** Their networks are routed: a peer on another one may be reached. */
const ROUTED = new Set(['tcp;ofi_rxm', 'tcp', 'sockets']);

/**
 * The ways that may be taken here, best first; plain TCP is the last. Throws an Error that says what there is when the provider or domain
 * that was asked for is not there: what is asked for by name is never replaced silently.
 */
export function usableWays(report: FabricReport, wish: FabricWish): Way[] {
  if (wish.provider === PLAIN_TCP) return [PLAIN_TCP_WAY];
  const ways = report.providers.filter(
    ({ provider, domain, against }) =>
      (wish.provider === '' ? against === '' && !UNASKED_NEVER.has(provider) : provider === wish.provider) &&
      (wish.domain === '' || domain === wish.domain),
  );
  if (wish.provider === '' && wish.domain === '') return [...ways, PLAIN_TCP_WAY];
  if (ways.length > 0) return ways;
  const wanted = [
    wish.provider && `fabric.provider=${wish.provider}`,
    wish.domain && `fabric.domain=${wish.domain}`,
  ];
  const there = new Set(report.providers.map(({ provider, domain }) => `${provider} on ${domain}`));
  const found = report.providers.length > 0 ? `there is ${[...there].join(', ')}` : report.error;
  throw new Error(`${wanted.filter(Boolean).join(' with ')} is not available: ${found}`);
}

/**
 * The ways that data of direct clients may take; none without a fabric. Over TCP their connections are as good, so that without a name
 * (`provider` empty) only what has RDMA is taken. What has not is taken only where the configuration names it: shm is no boundary of trust,
 * and tcp of libfabric 1.17.0 can crash when a client goes in the middle of a transfer.
 */
export function directWays(report: FabricReport, wish: FabricWish, provider: string): Way[] {
  if (wish.provider === TLS_TCP) return [];
  return usableWays(report, wish).filter((way) => {
    const isRdma = RDMA.has(way.provider.split(';')[0]!);
    const isWanted = provider === '' ? isRdma : way.provider === provider;
    return isWanted && way.provider !== PLAIN_TCP && (isRdma || way.provider === wish.provider);
  });
}

/** They go wherever the control connection goes. */
const isByTcp = ({ provider }: Way) => provider === PLAIN_TCP || provider === TLS_TCP;
const isLoopback = ({ domain, network }: Way) =>
  domain === 'lo' || network.startsWith('127.') || network.startsWith('::1/');
const isLinkLocal = ({ network }: Way) => network.startsWith('fe80:');

/**
 * The pairs of an initiator's and a target's way that may reach each other, best first. `sameHost`: both run on one machine, for one user.
 */
export function matchWays(ours: readonly Way[], theirs: readonly Way[], sameHost: boolean): [Way, Way][] {
  const pairs: { pair: [Way, Way]; rank: number }[] = [];
  ours.forEach((our, place) => {
    for (const their of theirs) {
      if (our.provider !== their.provider) continue;
      const detour = detourOf(our, their, sameHost);
      if (detour !== null) pairs.push({ pair: [our, their], rank: rankOf(ours, our, place, detour) });
    }
  });
  return pairs.sort((a, b) => a.rank - b.rank).map(({ pair }) => pair);
}

/** Providers in our order; within one, the same network before a routed one. */
function rankOf(ours: readonly Way[], our: Way, place: number, detour: number): number {
  const first = ours.findIndex(({ provider }) => provider === our.provider);
  return (first * 2 + detour) * 1000 + place;
}

/** 0: directly; 1: perhaps by a router; null: not at all. */
function detourOf(our: Way, their: Way, sameHost: boolean): 0 | 1 | null {
  if (isByTcp(our)) return 0;
  if (our.provider === SHARED_MEMORY) return sameHost ? 0 : null;
  if (isLinkLocal(our) || isLinkLocal(their)) return null;
  if (isLoopback(our) || isLoopback(their))
    return sameHost && isLoopback(our) && our.network === their.network ? 0 : null;
  if (our.network === their.network) return 0;
  const sameFamily = our.network.includes(':') === their.network.includes(':');
  return ROUTED.has(our.provider) && sameFamily ? 1 : null;
}

/** An end of an attachment as people know it, and the setting there that names a provider. */
export interface NamedEnd {
  readonly name: string;
  readonly setting: string;
}

const providersOf = (ways: readonly Way[]) => [...new Set(ways.map(({ provider }) => provider))];
const listed = (names: readonly string[]) => (names.length > 0 ? names.join(', ') : 'nothing');
/** Nothing was taken there but what the configuration names: else TCP would be the last way. */
const isNamed = (ways: readonly Way[]) => !ways.some(isByTcp) || ways.every(isByTcp);

/** How `noWayInCommon` begins. */
export const NO_WAY_IN_COMMON = 'no way in common';

/** Why no pair of ways matches, and what to set where, for people at either end. */
export function noWayInCommon(
  here: NamedEnd & { ways: readonly Way[] },
  there: NamedEnd & { ways: readonly Way[] },
): string {
  const [ours, theirs] = [providersOf(here.ways), providersOf(there.ways)];
  const common = ours.filter((provider) => theirs.includes(provider));
  const places = ({ name, ways }: NamedEnd & { ways: readonly Way[] }) => {
    const its = ways.filter(({ provider }) => common.includes(provider));
    return `${name} on ${listed([...new Set(its.map(({ domain, network }) => `${domain} (${network})`))])}`;
  };
  if (common.length > 0)
    return `${NO_WAY_IN_COMMON}: both have ${listed(common)}, but on no network from which the other is reached (${places(here)}; ${places(there)}): set fabric.domain to interfaces of one network, or ${here.setting} and ${there.setting} to another provider`;
  const state = `${NO_WAY_IN_COMMON}: ${here.name} has ${listed(ours)}; ${there.name} has ${listed(theirs)}`;
  const both = `name one that both have, as kafabric doctor lists them, at both (${here.name}: ${here.setting}, ${there.name}: ${there.setting}), or none`;
  if (isNamed(here.ways) === isNamed(there.ways)) return `${state}: ${both}`;
  const [strict, open] = isNamed(here.ways) ? [here, there] : [there, here];
  const [provider] = providersOf(strict.ways);
  return `${state}: ${strict.setting} of ${strict.name} allows nothing else, and ${open.name} does not take that unasked, or lacks it: set ${open.setting}=${provider} at ${open.name} too (kafabric doctor there says whether it can), or leave ${strict.setting} empty at ${strict.name}`;
}

/** Equal for processes that see each other's processes and shared memory, of one user. */
export function hostIdentity(): string {
  const read = (look: () => string) => {
    try {
      return look().trim();
    } catch {
      return '';
    }
  };
  const boot = read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')) || hostname();
  const spaces = ['pid', 'ipc', 'mnt'].map((name) => read(() => readlinkSync(`/proc/self/ns/${name}`)));
  return [boot, ...spaces, process.getuid?.() ?? ''].join(' ');
}
