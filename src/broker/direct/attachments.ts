import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import {
  closeRegion,
  type MapRequest,
  type Move,
  type MovedBatches,
  type RegionOffer,
  RegionSocket,
} from '../../native/direct.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Logger } from '../../util/logger.ts';
import { AttachmentTable } from './attachment-table.ts';
import { moveForClient } from './checked-moves.ts';
import type { MappedMemory, MappedSession } from './mapped-memory.ts';

const TOKEN_BYTES = 16;
const SOCKET_NAME_BYTES = 16;
const ROOT = 0;

export interface AttachmentLimits {
  /** `direct.max.regions` */
  maxRegions: number;
  /** `direct.max.region.bytes` */
  maxRegionBytes: number;
}

export interface AttachmentOptions extends AttachmentLimits {
  /** Whose processes may hand over memory, beside the gateway's own user and root; null: everybody's. */
  users: readonly number[] | null;
  /** The listeners whose clients may map the gateway's memory. */
  mappedListeners: ReadonlySet<string>;
  /** Whether processes of this user may, beside the gateway's own and root's. */
  allowsMapping: (uid: number) => boolean;
  mapped: MappedMemory;
  logger: Logger;
}

/** Memory that a client has attached. */
export interface AttachedRegion {
  /** For native code. */
  readonly region: number;
  readonly bytes: number;
}

/** What one connection has attached. */
export class Attachment {
  readonly id: bigint;
  readonly token: Uint8Array = randomBytes(TOKEN_BYTES);
  readonly regions = new Map<number, AttachedRegion>();
  /** Whether it may map the gateway's memory. */
  readonly maps: boolean;
  /** What it has mapped; null before. It may outlive the connection: the process may still be using it. */
  session: MappedSession | null = null;
  /** The connection that it belongs to; others cannot name it. */
  readonly owner: object;

  constructor(id: bigint, owner: object, maps: boolean) {
    this.id = id;
    this.owner = owner;
    this.maps = maps;
  }

  get bytes(): number {
    let bytes = 0;
    for (const region of this.regions.values()) bytes += region.bytes;
    return bytes;
  }

  /** Whether a range lies in memory that was attached, or is lent to the client to write to (region -n is lease n). */
  holds(region: number, offset: number, length: number): boolean {
    const bytes = this.regions.get(region)?.bytes ?? this.session?.writable(-region)?.byteLength;
    return bytes !== undefined && offset >= 0 && length >= 0 && offset + length <= bytes;
  }

  release(region: number): boolean {
    if (!this.regions.delete(region)) return false;
    closeRegion(region);
    return true;
  }

  /** Takes the data of a put, which makes `batches` whole, from the client's memory. @throws ApiError when it cannot be had */
  async pull(moves: readonly Move[], batches: MovedBatches): Promise<void> {
    for (const { error } of await moveForClient(moves, batches)) {
      if (error !== 0)
        throw new ApiError(
          ErrorCode.INVALID_REQUEST,
          `the attached memory cannot be read (errno ${error}): it must keep its size`,
        );
    }
  }

  /** Does what holds so much memory while the client's is read: as long as that takes. */
  hold<T>(_bytes: number, work: () => Promise<T>): Promise<T> {
    return work();
  }
}

/**
 * The memory that clients of this machine have handed over. They get a token over their connection, and show it, with a memfd, at a Unix
 * socket, where the kernel says who they are. The gateway forgets it with the connection. Trusted clients may map the gateway's memory instead.
 */
export class Attachments {
  readonly #options: AttachmentOptions;
  readonly #table = new AttachmentTable<Attachment>((attachment) => this.#ended(attachment));
  readonly #byToken = new Map<string, Attachment>();
  readonly #socket: RegionSocket;
  #nextId = 1n;

  constructor(options: AttachmentOptions) {
    this.#options = options;
    const name = `kafabric-${randomBytes(SOCKET_NAME_BYTES).toString('hex')}`;
    this.#socket = new RegionSocket(name, options.users, {
      onOffer: (offer) => this.#take(offer),
      onMap: (request) => this.#map(request),
      onGone: (peer) => options.mapped.gone(peer),
    });
  }

  get socketName(): string {
    return this.#socket.name;
  }

  get limits(): AttachmentLimits {
    return this.#options;
  }

  /** Whether clients of a listener may map the gateway's memory. */
  mapsOn(listenerName: string): boolean {
    return this.#options.mappedListeners.has(listenerName);
  }

  /** Clients that are attached, the memory that they have handed over, and that of the gateway which they have mapped. */
  stats(): { attachments: number; regions: number; bytes: number; mappedBytes: number; turnedAway: number } {
    let regions = 0;
    let bytes = 0;
    for (const attachment of this.#table.all()) {
      regions += attachment.regions.size;
      bytes += attachment.bytes;
    }
    const { turnedAway } = this.#socket;
    return {
      attachments: this.#table.size,
      regions,
      bytes,
      mappedBytes: this.#options.mapped.bytes,
      turnedAway,
    };
  }

  /** The attachment of a connection, one for each; it ends when `closed` is aborted. */
  attach(owner: object, closed: AbortSignal, maps = false): Attachment {
    const known = this.#table.of(owner);
    if (known?.maps === maps) return known;
    if (known !== null) this.end(known);
    const attachment = new Attachment(this.#nextId++, owner, maps);
    this.#byToken.set(keyOf(attachment.token), attachment);
    this.#table.add(attachment, closed);
    return attachment;
  }

  /** The attachment of this connection; null when there is none with this number. */
  find(id: bigint, owner: object): Attachment | null {
    return this.#table.find(id, owner);
  }

  end(attachment: Attachment): void {
    this.#table.end(attachment);
  }

  #ended(attachment: Attachment): void {
    for (const region of [...attachment.regions.keys()]) attachment.release(region);
    this.#byToken.delete(keyOf(attachment.token));
  }

  /** Clients may go on writing to what is lent to them: it stays theirs until `takeBack`. */
  close(): void {
    this.#socket.close();
    this.#table.endAll();
  }

  /** Once nothing is allocated any more that a client could write to. */
  takeBack(): void {
    this.#options.mapped.close();
  }

  /** The answer to a client: its region, or a negative errno value. */
  #take({ token, bytes, uid, pid, region }: RegionOffer): number {
    const attachment = this.#byToken.get(keyOf(token));
    const refusal = this.#refusal(attachment, bytes, uid, region);
    if (attachment === undefined || refusal !== null) {
      this.#options.logger.warn(
        { uid, pid, bytes },
        `shared memory of a client was refused: ${refusal?.why}`,
      );
      return -(refusal?.errno ?? constants.errno.EACCES);
    }
    attachment.regions.set(region, { region, bytes });
    return region;
  }

  /** 0, or a negative errno value. */
  #map({ token, uid, pid, peer }: MapRequest): number {
    const { EACCES, EBUSY } = constants.errno;
    const attachment = this.#byToken.get(keyOf(token));
    const known = uid === process.getuid?.() || uid === ROOT || this.#options.allowsMapping(uid);
    if (attachment?.maps && known && attachment.session === null) {
      attachment.session = this.#options.mapped.begin(peer);
      return 0;
    }
    const why = !attachment?.maps
      ? 'its token is not known'
      : known
        ? 'it has it already'
        : `user ${uid} may not (direct.mapped.uids)`;
    this.#options.logger.warn({ uid, pid }, `a client may not map memory of the gateway: ${why}`);
    return -(attachment?.maps && known ? EBUSY : EACCES);
  }

  #refusal(
    attachment: Attachment | undefined,
    bytes: number,
    uid: number,
    region: number,
  ): { errno: number; why: string } | null {
    const { EACCES, ENOSPC } = constants.errno;
    const { users, maxRegions, maxRegionBytes } = this.#options;
    if (attachment === undefined) return { errno: EACCES, why: 'its token is not known' };
    if (uid !== process.getuid?.() && uid !== ROOT && users?.includes(uid) === false)
      return { errno: EACCES, why: `user ${uid} may not (direct.shared.memory.uids)` };
    if (region < 0) return { errno: -region, why: 'it is no memfd, or smaller than it says' };
    if (attachment.regions.size >= maxRegions)
      return { errno: ENOSPC, why: `it has ${maxRegions} regions (direct.max.regions)` };
    if (attachment.bytes + bytes > maxRegionBytes)
      return {
        errno: ENOSPC,
        why: `it would have more than ${maxRegionBytes} bytes (direct.max.region.bytes)`,
      };
    return null;
  }
}

function keyOf(token: Uint8Array): string {
  return Buffer.from(token).toString('hex');
}
