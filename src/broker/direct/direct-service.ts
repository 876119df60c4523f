import type { KafabricConfig } from '../../config/index.ts';
import { speaksTls } from '../../config/listeners.ts';
import { arenaShared } from '../../native/arena.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import { type Attachment, Attachments } from './attachments.ts';
import { DirectGets, type DirectLimits } from './direct-gets.ts';
import { DirectPuts } from './direct-puts.ts';
import { FabricAttachment } from './fabric-attachment.ts';
import { FabricAttachments, type FabricAttachmentsOptions } from './fabric-attachments.ts';
import { MappedMemory } from './mapped-memory.ts';
import { MappedViews } from './mapped-views.ts';
import { LocalPayloads } from './payload-source.ts';
import { ReferenceKeys } from './reference-keys.ts';
import { signBatches } from './signed-batches.ts';

export interface DirectServiceOptions {
  readonly config: KafabricConfig;
  readonly partitions: PartitionManager;
  /** For what is read, and for what is produced. */
  readonly memory: { readonly reads: MemoryBudget; readonly writes: MemoryBudget };
  /** Without it no client is reached over libfabric. */
  readonly fabric?: FabricAttachmentsOptions['fabric'] | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What direct listeners serve beside the Kafka protocol: signed references, and data that moves to and from memory of clients. */
export class DirectService {
  readonly keys: ReferenceKeys;
  readonly gets: DirectGets;
  readonly puts: DirectPuts;
  readonly limits: DirectLimits;
  /** For clients to know. */
  readonly maxFrameBytes: number;
  readonly views: MappedViews;
  /** Null when clients may not hand over shared memory. */
  readonly attachments: Attachments | null;
  /** Null when clients are not reached over libfabric. */
  readonly fabric: FabricAttachments | null;
  readonly logger: Logger;
  readonly #encrypted: ReadonlySet<string>;

  constructor({ config, partitions, memory, fabric, clock, logger }: DirectServiceOptions) {
    this.logger = logger;
    this.#encrypted = new Set(config.resolved.listeners.filter(speaksTls).map(({ name }) => name));
    this.limits = {
      maxRequestBytes: config.get('direct.max.request.bytes'),
      maxRanges: config.get('direct.max.ranges'),
    };
    this.maxFrameBytes = config.get('socket.request.max.bytes');
    this.keys = new ReferenceKeys(config.get('payload.reference.ttl.ms'), clock);
    const source = new LocalPayloads(partitions);
    const { keys, limits } = this;
    this.gets = new DirectGets({ source, keys, limits, memory: memory.reads, logger });
    this.puts = new DirectPuts(this.limits, memory.writes, clock, config.get('payload.min.bytes'));
    this.views = new MappedViews({ source, keys, memory: memory.reads });
    const uids = config.get('direct.shared.memory.uids');
    const mappedUids = config.get('direct.mapped.uids');
    const mapped = new MappedMemory({ maxClientBytes: config.get('direct.mapped.max.bytes') });
    const attachmentLimits = {
      maxRegions: config.get('direct.max.regions'),
      maxRegionBytes: config.get('direct.max.region.bytes'),
    };
    this.fabric =
      fabric !== undefined && config.get('direct.fabric.enable')
        ? new FabricAttachments({
            ...attachmentLimits,
            fabric,
            timeoutMs: config.get('direct.fabric.timeout.ms'),
            clock,
            logger,
          })
        : null;
    this.attachments = config.get('direct.shared.memory.enable')
      ? new Attachments({
          ...attachmentLimits,
          users: uids.includes('*') ? null : uids.map(Number),
          mapped,
          mappedListeners: mappedListeners(config, logger),
          allowsMapping: (uid) => mappedUids.includes(String(uid)),
          logger,
        })
      : null;
  }

  /** Whether a listener speaks TLS. */
  encrypts(listenerName: string): boolean {
    return this.#encrypted.has(listenerName);
  }

  /** What a connection has attached; null when it has nothing with this number. */
  attachmentOf(id: bigint, connection: object): Attachment | null {
    return this.attachments?.find(id, connection) ?? this.fabric?.find(id, connection) ?? null;
  }

  detach(attachment: Attachment): void {
    if (attachment instanceof FabricAttachment) this.fabric?.end(attachment);
    else this.attachments?.end(attachment);
  }

  /** How the reference batches of a fetch are returned to this principal. */
  signing(principal: string): (partition: Partition, batches: Uint8Array) => Uint8Array {
    return ({ topicId, index }, batches) =>
      signBatches(batches, { keys: this.keys, principal, topicId, partition: index });
  }

  /** Requests must have ended. Resolves when nothing is under way over the fabric any more. */
  async close(): Promise<void> {
    this.attachments?.close();
    await this.fabric?.close();
  }

  /** What is lent to clients, once nothing is allocated any more. */
  takeBack(): void {
    this.attachments?.takeBack();
  }
}

/** The listeners whose clients may map memory: none while the arena's is of no use to them. */
function mappedListeners(config: KafabricConfig, logger: Logger): ReadonlySet<string> {
  const listeners = new Set(config.get('direct.mapped.listeners'));
  const { shared, reason } = arenaShared();
  if (listeners.size === 0 || shared) return listeners;
  logger.warn({ reason }, 'direct.mapped.listeners is off: the arena is not in shared memory');
  return new Set();
}
