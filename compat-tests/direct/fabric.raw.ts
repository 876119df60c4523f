import { Connection } from '../../src/client/connection.ts';
import { FabricPath } from '../../src/client/fabric-path.ts';
import { directAttachRequest } from '../../src/protocol/generated/direct-attach-request.ts';
import { directAttachResponse } from '../../src/protocol/generated/direct-attach-response.ts';
import {
  type DirectFabricRegion,
  directFabricRequest,
} from '../../src/protocol/generated/direct-fabric-request.ts';
import { directFabricResponse } from '../../src/protocol/generated/direct-fabric-response.ts';
import { directPutRequest } from '../../src/protocol/generated/direct-put-request.ts';
import { directPutResponse } from '../../src/protocol/generated/direct-put-response.ts';
import { BATCH_HEADER_SIZE } from '../../src/protocol/records/batch-header.ts';
import type { Uuid } from '../../src/protocol/wire/types.ts';

const PROVIDER = 'tcp;ofi_rxm';

/** A client that says of its memory what it likes. Calls resolve to what it is told: an error, or the next step of attaching. */
export class RawFabric {
  readonly connection: Connection;
  readonly attachmentId: bigint;
  /** Once it is attached as it should be. */
  path!: FabricPath;

  private constructor(connection: Connection, attachmentId: bigint) {
    this.connection = connection;
    this.attachmentId = attachmentId;
  }

  /** With an attachment, of which nothing is settled. */
  static async connect(address: string): Promise<RawFabric> {
    const [host = '', port] = address.split(':');
    const timeouts = { connectTimeoutMs: 60_000, requestTimeoutMs: 60_000 };
    const connection = await Connection.open({ host, port: Number(port), clientId: 'raw', ...timeouts });
    const request = { transports: ['fabric'], provider: PROVIDER };
    const { attachmentId, errorMessage } = await connection.call(
      directAttachRequest,
      directAttachResponse,
      request,
    );
    if (errorMessage !== null) throw new Error(errorMessage);
    return new RawFabric(connection, attachmentId);
  }

  static async open(address: string): Promise<RawFabric> {
    const raw = await RawFabric.connect(address);
    raw.path = await FabricPath.open(raw.connection, raw.attachmentId, { provider: PROVIDER, domain: 'lo' });
    return raw;
  }

  async step(message: string): Promise<string> {
    const answer = await this.#fabric({ message, regions: [] });
    return answer.errorMessage ?? answer.message ?? '';
  }

  async publish(regions: DirectFabricRegion[]): Promise<string> {
    return (await this.#fabric({ message: null, regions })).errorMessage ?? '';
  }

  #fabric(request: { message: string | null; regions: DirectFabricRegion[] }) {
    const { attachmentId } = this;
    return this.connection.call(directFabricRequest, directFabricResponse, { attachmentId, ...request });
  }

  /** Puts what is no batch, so that it is refused in any case. */
  async put(topicId: Uuid, region: number, offset: number, length: number): Promise<string> {
    const batch = new Uint8Array(BATCH_HEADER_SIZE);
    const header = new DataView(batch.buffer);
    header.setInt32(8, BATCH_HEADER_SIZE + length - 12);
    header.setInt8(16, 2);
    const data = [{ at: BATCH_HEADER_SIZE, region, offset: BigInt(offset), length }];
    const answer = await this.connection.call(directPutRequest, directPutResponse, {
      attachmentId: this.attachmentId,
      transactionalId: null,
      acks: -1,
      timeoutMs: 60_000,
      topics: [{ topicId, partitions: [{ index: 0, batch, data }] }],
    });
    const [partition] = answer.topics[0]?.partitions ?? [];
    return answer.errorMessage ?? `${partition?.errorCode} ${partition?.errorMessage}`;
  }
}
