import type { ConfigDefinition } from './definition.ts';

/** How payload reaches peers: libfabric's providers, or plain TCP. */
export const fabricDefinitions = [
  {
    name: 'fabric.library',
    type: 'string',
    default: '',
    documentation:
      'The file of libfabric (1.17 to 2.x), or a name for the loader. Empty takes the site’s: LD_LIBRARY_PATH, the loader’s cache, then the usual places. See docs/fabric.md.',
  },
  {
    name: 'fabric.provider',
    type: 'string',
    default: '',
    values: [
      '',
      'verbs;ofi_rxm',
      'cxi',
      'efa',
      'opx',
      'psm3',
      'shm',
      'tcp;ofi_rxm',
      'tcp',
      'sockets',
      'plain-tcp',
      'tls-tcp',
    ],
    documentation:
      'The libfabric provider for payload, or plain-tcp for sockets without libfabric, and tls-tcp for encrypted ones (payload.stores.security.protocol=SSL). Empty takes the fastest one that both ends have and that reaches the peer. One that is named is never replaced by another.',
  },
  {
    name: 'fabric.domain',
    type: 'string',
    default: '',
    documentation:
      'The interface or card that the provider uses, as kafabric doctor lists them (eth0, mlx5_0); empty takes the best.',
  },
  {
    name: 'fabric.piece.bytes',
    type: 'int',
    default: '1048576',
    min: 4096,
    max: 1073741824,
    documentation: 'Transfers are cut into pieces of at most this many bytes.',
  },
  {
    name: 'fabric.window',
    type: 'int',
    default: '8',
    min: 1,
    max: 1024,
    documentation: 'Pieces under way to one peer at the same time.',
  },
] as const satisfies readonly ConfigDefinition[];
