import { FabricTransport, inspectFabric, type TransportOptions } from '../../native/fabric.ts';
import { directWays, type FabricWish, hostIdentity, type Way } from '../../native/fabric-choice.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { AttachmentTable } from './attachment-table.ts';
import type { AttachmentLimits } from './attachments.ts';
import type { AnswerRoom } from './direct-gets.ts';
import { FabricAttachment } from './fabric-attachment.ts';

export interface FabricAttachmentsOptions extends AttachmentLimits {
  readonly fabric: { readonly wish: FabricWish; readonly options: TransportOptions };
  /** `direct.fabric.timeout.ms` */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What moved over one provider, since the start. */
export interface FabricTotals {
  attachments: number;
  /** Taken from clients' memory. */
  readBytes: number;
  /** Put into it. */
  writtenBytes: number;
  failures: number;
  /** How often everything under way was begun again, to be rid of a client that did not answer. */
  recoveries: number;
}

/**
 * The clients whose memory is reached over libfabric. The gateway reads and writes it, from memory of its own that nobody else reaches; a
 * provider is opened when the first client takes it, for all.
 */
export class FabricAttachments {
  readonly #options: FabricAttachmentsOptions;
  readonly #table = new AttachmentTable<FabricAttachment>((attachment) => attachment.end());
  readonly #transports = new Map<string, Promise<FabricTransport>>();
  readonly #opened: FabricTransport[] = [];
  readonly #host = hostIdentity();
  #nextId = -1n;
  #closed = false;

  constructor(options: FabricAttachmentsOptions) {
    this.#options = options;
  }

  get limits(): AttachmentLimits {
    return this.#options;
  }

  /**
   * The ways that a client may take which asks for this provider; empty: for any with RDMA. Rejects with an Error for people when there is
   * none.
   */
  async ways(provider: string): Promise<Way[]> {
    const { wish, options } = this.#options.fabric;
    const report = await inspectFabric(options.library);
    const ways = directWays(report, wish, provider);
    if (ways.length > 0) return ways;
    const there = [...new Set(report.providers.map((one) => one.provider))].join(', ') || report.error;
    const allowed =
      wish.provider === ''
        ? 'without RDMA they have to be named by fabric.provider'
        : `fabric.provider allows ${wish.provider}`;
    throw new Error(
      provider === ''
        ? `no provider of libfabric with RDMA is to be had here: there is ${there}; others have to be named by the client`
        : `${provider} cannot be had here: there is ${there}; ${allowed}`,
    );
  }

  /** The attachment of a connection, in place of the one that it had; it ends when `closed` is aborted. */
  attach(owner: object, closed: AbortSignal, room: AnswerRoom, ways: readonly Way[]): FabricAttachment {
    const before = this.#table.of(owner);
    if (before !== null) this.end(before);
    const { fabric: _, ...options } = this.#options;
    const attachment = new FabricAttachment(
      { id: this.#nextId--, owner },
      { ...options, ways, room, host: this.#host, open: (way) => this.#open(way) },
    );
    this.#table.add(attachment, closed);
    if (this.#closed) this.end(attachment);
    return attachment;
  }

  /** The attachment of this connection; null when there is none with this number. */
  find(id: bigint, owner: object): FabricAttachment | null {
    return this.#table.find(id, owner);
  }

  end(attachment: FabricAttachment): void {
    this.#table.end(attachment);
  }

  /** The memory that clients have published. */
  get bytes(): number {
    let bytes = 0;
    for (const attachment of this.#table.all()) bytes += attachment.bytes;
    return bytes;
  }

  /** By provider. */
  totals(): Map<string, FabricTotals> {
    const totals = new Map<string, FabricTotals>();
    for (const transport of this.#opened) {
      const one = totalsOf(totals, transport.provider);
      const { bytesRead, bytesWritten, errors, timeouts, recoveries } = transport.statistics();
      one.readBytes += bytesRead;
      one.writtenBytes += bytesWritten;
      one.failures += errors + timeouts;
      one.recoveries += recoveries;
    }
    for (const { provider } of this.#table.all())
      if (provider !== '') totalsOf(totals, provider).attachments++;
    return totals;
  }

  /** One for each way, for all clients. */
  #open(way: Way): Promise<FabricTransport> {
    const key = JSON.stringify(way);
    let opened = this.#transports.get(key);
    if (opened === undefined) {
      opened = this.#openNow(way);
      this.#transports.set(key, opened);
      opened.catch(() => this.#transports.delete(key));
    }
    return opened;
  }

  async #openNow(way: Way): Promise<FabricTransport> {
    const { options } = this.#options.fabric;
    const transport = await FabricTransport.open(way, { ...options, listen: false });
    try {
      await transport.registerArena();
      if (this.#closed) throw new Error('the gateway is shutting down');
    } catch (error) {
      await transport.close();
      throw error;
    }
    this.#opened.push(transport);
    const { provider, domain } = way;
    this.#options.logger.info({ provider, domain }, 'direct clients are reached over the fabric');
    return transport;
  }

  /** Nothing touches memory for clients any more when it resolves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#table.endAll();
    await Promise.allSettled(this.#transports.values());
    const closing = this.#opened.splice(0).map((transport) => transport.close());
    for (const closed of await Promise.allSettled(closing))
      if (closed.status === 'rejected')
        this.#options.logger.error({ err: closed.reason }, 'a provider of the fabric does not close');
  }
}

function totalsOf(totals: Map<string, FabricTotals>, provider: string): FabricTotals {
  let one = totals.get(provider);
  if (one === undefined) {
    one = { attachments: 0, readBytes: 0, writtenBytes: 0, failures: 0, recoveries: 0 };
    totals.set(provider, one);
  }
  return one;
}
