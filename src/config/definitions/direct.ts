import type { ConfigDefinition } from './definition.ts';

/** The direct listener: references, and data that moves beside the Kafka protocol. See docs/direct-api.md. */
export const directDefinitions = [
  {
    name: 'payload.reference.ttl.ms',
    type: 'long',
    default: '3600000',
    min: 1000,
    documentation:
      'How long a reference that a direct listener hands out can be used, in milliseconds. A client whose reference has expired fetches the record again. The keys that sign references change as often; those before stay valid until what they signed has expired.',
  },
  {
    name: 'direct.max.request.bytes',
    type: 'long',
    default: '1073741824',
    min: 1,
    max: 2147483647,
    documentation: 'Bytes of data that one put or get on a direct listener may move.',
  },
  {
    name: 'direct.max.ranges',
    type: 'int',
    default: '1048576',
    min: 1,
    max: 16777216,
    documentation: 'Ranges of data that one put or get may name, each block of a strided range counted.',
  },
  {
    name: 'direct.max.unsent.bytes',
    type: 'long',
    default: '268435456',
    min: 1048576,
    documentation:
      'Bytes of memory that answers to gets on one connection may hold until the client has taken them; further gets of it wait; no more than a quarter of arena.bytes. A client that takes nothing of them for half a minute is closed. One request may exceed it.',
  },
  {
    name: 'direct.max.regions',
    type: 'int',
    default: '64',
    min: 1,
    max: 4096,
    documentation: 'Regions of memory that one direct client may attach, on each of its connections.',
  },
  {
    name: 'direct.max.region.bytes',
    type: 'long',
    default: '17179869184',
    min: 1048576,
    documentation:
      'Bytes of memory that one direct client may attach. It is the client’s own memory; the gateway maps it, so that what it has used counts in what the system shows as its shared memory.',
  },
  {
    name: 'direct.shared.memory.enable',
    type: 'boolean',
    default: 'true',
    documentation:
      'Whether direct clients on this machine may hand over shared memory, which moves data at the speed of memory. Otherwise it moves over their connections.',
  },
  {
    name: 'direct.shared.memory.uids',
    type: 'list',
    default: '',
    documentation:
      'Numeric user ids whose processes may hand over shared memory, beside the gateway’s own user and root; * for all. The kernel says who they are.',
  },
  {
    name: 'direct.fabric.enable',
    type: 'boolean',
    default: 'true',
    documentation:
      'Whether data of direct clients on other machines may move over libfabric: over providers with RDMA, and over another one where fabric.provider and the client both name it. libfabric is loaded when the first client wants it.',
  },
  {
    name: 'direct.fabric.timeout.ms',
    type: 'int',
    default: '20000',
    min: 100,
    max: 600000,
    documentation:
      'How long one put or get may take to move its data over the fabric, in milliseconds. A client whose memory cannot be reached in that time is detached, and has to connect anew.',
  },
  {
    name: 'direct.mapped.listeners',
    type: 'list',
    default: '',
    documentation:
      'Names of direct listeners whose clients on this machine may map memory of the gateway, so that data is not copied between them: they can read, and by malice overwrite, whatever passes through it. For trusted users only. Needs shared memory for the arena (log.ack) and direct.shared.memory.enable.',
  },
  {
    name: 'direct.mapped.uids',
    type: 'list',
    default: '',
    documentation:
      'Numeric user ids whose processes may map memory of the gateway, beside the gateway’s own user and root, on the listeners of direct.mapped.listeners. The kernel says who they are.',
  },
  {
    name: 'direct.mapped.max.bytes',
    type: 'long',
    default: '268435456',
    min: 1048576,
    documentation:
      'Bytes of the gateway’s memory that one client may hold mapped. What is kept because of it counts: where it looks at a part of a value that is in memory, all that was received together with it; a connection for pushes and one for pulls count each. All clients together may hold a quarter of arena.bytes.',
  },
] as const satisfies readonly ConfigDefinition[];
