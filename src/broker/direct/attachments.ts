import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { closeRegion, type RegionOffer, RegionSocket } from '../../native/direct.ts';
import type { Logger } from '../../util/logger.ts';

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
  /** Whether processes of this user may hand over memory. */
  allows: (uid: number) => boolean;
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
  /** The connection that it belongs to; others cannot name it. */
  readonly owner: object;

  constructor(id: bigint, owner: object) {
    this.id = id;
    this.owner = owner;
  }

  get bytes(): number {
    let bytes = 0;
    for (const region of this.regions.values()) bytes += region.bytes;
    return bytes;
  }

  /** Whether a range lies in memory that was attached. */
  holds(region: number, offset: number, length: number): boolean {
    const found = this.regions.get(region);
    return found !== undefined && offset >= 0 && length >= 0 && offset + length <= found.bytes;
  }

  release(region: number): boolean {
    if (!this.regions.delete(region)) return false;
    closeRegion(region);
    return true;
  }
}

/**
 * The memory that clients of this machine have handed over. They get a token over their connection, and show it, with a memfd, at a Unix
 * socket, where the kernel says who they are. The gateway does not map what it gets, and forgets it with the connection.
 */
export class Attachments {
  readonly #options: AttachmentOptions;
  readonly #byId = new Map<bigint, Attachment>();
  readonly #byToken = new Map<string, Attachment>();
  readonly #byOwner = new WeakMap<object, Attachment>();
  readonly #socket: RegionSocket;
  #nextId = 1n;

  constructor(options: AttachmentOptions) {
    this.#options = options;
    const name = `kafabric-${randomBytes(SOCKET_NAME_BYTES).toString('hex')}`;
    this.#socket = new RegionSocket(name, (offer) => this.#take(offer));
  }

  get socketName(): string {
    return this.#socket.name;
  }

  get limits(): AttachmentLimits {
    return this.#options;
  }

  /** Clients that are attached, and the memory that they have handed over. */
  stats(): { attachments: number; regions: number; bytes: number } {
    let regions = 0;
    let bytes = 0;
    for (const attachment of this.#byId.values()) {
      regions += attachment.regions.size;
      bytes += attachment.bytes;
    }
    return { attachments: this.#byId.size, regions, bytes };
  }

  /** The attachment of a connection, one for each; it ends when `closed` is aborted. */
  attach(owner: object, closed: AbortSignal): Attachment {
    const known = this.#byOwner.get(owner);
    if (known !== undefined && this.#byId.has(known.id)) return known;
    const attachment = new Attachment(this.#nextId++, owner);
    this.#byId.set(attachment.id, attachment);
    this.#byToken.set(keyOf(attachment.token), attachment);
    this.#byOwner.set(owner, attachment);
    closed.addEventListener('abort', () => this.end(attachment), { once: true });
    if (closed.aborted) this.end(attachment);
    return attachment;
  }

  /** The attachment of this connection; null when there is none with this number. */
  find(id: bigint, owner: object): Attachment | null {
    const attachment = this.#byId.get(id);
    return attachment?.owner === owner ? attachment : null;
  }

  end(attachment: Attachment): void {
    for (const region of [...attachment.regions.keys()]) attachment.release(region);
    this.#byId.delete(attachment.id);
    this.#byToken.delete(keyOf(attachment.token));
  }

  close(): void {
    this.#socket.close();
    for (const attachment of [...this.#byId.values()]) this.end(attachment);
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

  #refusal(
    attachment: Attachment | undefined,
    bytes: number,
    uid: number,
    region: number,
  ): { errno: number; why: string } | null {
    const { EACCES, ENOSPC } = constants.errno;
    const { allows, maxRegions, maxRegionBytes } = this.#options;
    if (attachment === undefined) return { errno: EACCES, why: 'its token is not known' };
    if (uid !== process.getuid?.() && uid !== ROOT && !allows(uid))
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
