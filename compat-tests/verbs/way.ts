import type { TriedWay } from '../fabric/way.ts';

/** In the machine of run.mjs, which has a soft-RoCE device. KAFABRIC_FABRIC_LIBRARY, as for native tests: another libfabric than the installed one. */
export const VERBS: TriedWay = {
  provider: 'verbs;ofi_rxm',
  domain: 'rxe0',
  library: process.env.KAFABRIC_FABRIC_LIBRARY ?? '',
};
