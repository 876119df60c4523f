import type { ConfigDefinition } from './definition.ts';

/** The diversion of large payloads; broker-wide defaults of the topic keys of the same names. */
export const payloadDefinitions = [
  {
    name: 'payload.min.bytes',
    type: 'long',
    default: '65536',
    min: -1,
    update: 'cluster-wide',
    documentation:
      'A batch whose mean record size is at least this many bytes goes to the payload store, and its place in the log is taken by a reference. 0 diverts everything, -1 nothing. Topics may set their own.',
  },
  {
    name: 'payload.segment.bytes',
    type: 'long',
    default: '1073741824',
    min: 1048576,
    update: 'cluster-wide',
    documentation:
      'Bytes after which a new payload file is started; whole files are deleted, so smaller ones free space sooner.',
  },
] as const satisfies readonly ConfigDefinition[];
