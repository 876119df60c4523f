import type { SharedBuffer } from '../native/direct.ts';
import { FabricTransport, inspectFabric, PEER_READS, PEER_WRITES } from '../native/fabric.ts';
import { TargetAttachment } from '../native/fabric-attach.ts';
import { directWays, hostIdentity, type Way } from '../native/fabric-choice.ts';
import { directFabricRequest } from '../protocol/generated/direct-fabric-request.ts';
import { directFabricResponse } from '../protocol/generated/direct-fabric-response.ts';
import { systemClock } from '../util/clock.ts';
import type { Connection } from './connection.ts';
import { brokerError, DirectError } from './errors.ts';

const DOING = 'attach by the fabric';
/** The gateway cuts and paces transfers; these are for what the client would begin, which is nothing. */
const PIECE_BYTES = 1 << 20;
const WINDOW = 8;

/** Which provider of libfabric moves data; what is named is never replaced by another. */
export interface FabricChoice {
  /** 'verbs;ofi_rxm', 'cxi', 'efa', 'opx', 'psm3', or 'tcp;ofi_rxm'; the fastest with RDMA when absent. */
  provider?: string;
  /** The interface or card, as `kafabric doctor` lists them. */
  domain?: string;
  /** The file of libfabric; found as the gateway does when absent. */
  library?: string;
}

/**
 * How one connection moves data over libfabric: the gateway reads and writes memory that is published here, which nobody else can reach who
 * has not its key. It ends with the connection.
 */
export class FabricPath {
  readonly provider: string;
  readonly #connection: Connection;
  readonly #attachmentId: bigint;
  readonly #transport: FabricTransport;
  #nextRegion = 0;

  private constructor(connection: Connection, attachmentId: bigint, way: Way, transport: FabricTransport) {
    this.#connection = connection;
    this.#attachmentId = attachmentId;
    this.#transport = transport;
    this.provider = way.provider;
  }

  /** Finds the best way that both ends have. Rejects with a DirectError when there is none. */
  static async open(connection: Connection, attachmentId: bigint, choice: FabricChoice): Promise<FabricPath> {
    try {
      const attachment = new TargetAttachment({
        ways: await waysOf(choice),
        host: hostIdentity(),
        clock: systemClock,
        // Only plain TCP asks for it.
        peerHost: '',
        open: (way) =>
          FabricTransport.open(way, {
            library: choice.library ?? '',
            pieceBytes: PIECE_BYTES,
            window: WINDOW,
            listen: false,
          }),
        send: (message) => {
          if (connection.isClosed) return;
          step(connection, attachmentId, message).then(
            (answer) => {
              if (answer !== null) attachment.receive(answer);
            },
            (error: Error) => attachment.lost(error.message),
          );
        },
      });
      connection.onClosed(() => attachment.lost('the connection is gone'));
      const { transport, way } = await attachment.attach();
      attachment.onEnd(() => closeQuietly(transport));
      if (attachment.ended !== null) {
        await closeQuietly(transport);
        throw new Error(attachment.ended);
      }
      return new FabricPath(connection, attachmentId, way, transport);
    } catch (cause) {
      if (cause instanceof DirectError) throw cause;
      throw new DirectError('CONNECTION', (cause as Error).message, {
        doing: DOING,
        todo: 'see `kafabric doctor` on both machines, or choose another path or provider',
        retriable: false,
        cause,
      });
    }
  }

  /** The number that memory has for the gateway from now on. Rejects with a DirectError. */
  async publish(shared: SharedBuffer): Promise<number> {
    let address: bigint;
    let key: bigint;
    try {
      ({ address, key } = await this.#transport.publishShared(shared, PEER_READS | PEER_WRITES));
    } catch (cause) {
      throw new DirectError('CONNECTION', (cause as Error).message, {
        doing: DOING,
        todo: 'raise the limit on locked memory, or use less: sharedChunkBytes, sharedMaxBytes',
        retriable: this.#connection.isClosed,
        cause,
      });
    }
    const region = this.#nextRegion++;
    const words = { address: BigInt.asIntN(64, address), key: BigInt.asIntN(64, key) };
    const regions = [{ region, ...words, bytes: BigInt(shared.buffer.byteLength) }];
    const request = { attachmentId: this.#attachmentId, message: null, regions };
    const answer = await this.#connection.call(directFabricRequest, directFabricResponse, request, {
      doing: DOING,
    });
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, answer.errorMessage, DOING);
    return region;
  }
}

async function waysOf({ provider = '', domain = '', library = '' }: FabricChoice): Promise<Way[]> {
  const report = await inspectFabric(library);
  const ways = directWays(report, { provider, domain }, provider);
  if (ways.length > 0) return ways;
  const there = [...new Set(report.providers.map((one) => one.provider))].join(', ');
  throw new Error(
    there === '' ? report.error : `no provider with RDMA is here, others have to be named: there is ${there}`,
  );
}

/** Says one step of attaching to the gateway; resolves to its answer, null when there is none. */
async function step(connection: Connection, attachmentId: bigint, message: string): Promise<string | null> {
  const request = { attachmentId, message, regions: [] };
  const answer = await connection.call(directFabricRequest, directFabricResponse, request, { doing: DOING });
  if (answer.errorCode !== 0) throw brokerError(answer.errorCode, answer.errorMessage, DOING);
  return answer.message;
}

/** A provider that does not return keeps its thread; the gateway has let go of it all the same. */
function closeQuietly(transport: FabricTransport): Promise<void> {
  return transport.close().catch(() => undefined);
}
