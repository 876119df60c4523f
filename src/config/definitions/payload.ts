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
  {
    name: 'payload.cleaner.min.live.ratio',
    type: 'double',
    default: '0.8',
    min: 0,
    max: 1,
    update: 'cluster-wide',
    documentation:
      'Complete payload files give back the space of what no record refers to any more when less than this part of what they take is referred to; looked at every log.retention.check.interval.ms. Nothing is copied where the file system has holes. 0 never; files go nevertheless when nothing of them is referred to.',
  },
] as const satisfies readonly ConfigDefinition[];
