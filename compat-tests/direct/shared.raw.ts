import { execFileSync } from 'node:child_process';
import { Connection } from '../../src/client/connection.ts';
import { offerSharedBuffer, type SharedBuffer } from '../../src/native/direct.ts';
import { directAttachRequest } from '../../src/protocol/generated/direct-attach-request.ts';
import { directAttachResponse } from '../../src/protocol/generated/direct-attach-response.ts';
import { directGetRequest } from '../../src/protocol/generated/direct-get-request.ts';
import { directGetResponse } from '../../src/protocol/generated/direct-get-response.ts';
import { directPutRequest } from '../../src/protocol/generated/direct-put-request.ts';
import { directPutResponse } from '../../src/protocol/generated/direct-put-response.ts';
import { directReleaseRequest } from '../../src/protocol/generated/direct-release-request.ts';
import { directReleaseResponse } from '../../src/protocol/generated/direct-release-response.ts';
import { BATCH_HEADER_SIZE } from '../../src/protocol/records/batch-header.ts';
import type { Uuid } from '../../src/protocol/wire/types.ts';

/** A client that does with its shared memory what it likes, whoever uses it. */
export class RawShared {
  readonly #connection: Connection;
  readonly #socketName: string;
  readonly #token: Uint8Array;
  readonly #attachmentId: bigint;

  private constructor(connection: Connection, answer: ReturnType<typeof directAttachResponse.create>) {
    this.#connection = connection;
    this.#socketName = answer.socketName;
    this.#token = Uint8Array.from(answer.token);
    this.#attachmentId = answer.attachmentId;
  }

  static async connect(address: string): Promise<RawShared> {
    const [host = '', port] = address.split(':');
    const timeouts = { connectTimeoutMs: 60_000, requestTimeoutMs: 60_000 };
    const connection = await Connection.open({ host, port: Number(port), clientId: 'raw', ...timeouts });
    const request = { transports: ['shared-memory'], provider: '' };
    const answer = await connection.call(directAttachRequest, directAttachResponse, request);
    if (answer.errorMessage !== null) throw new Error(answer.errorMessage);
    return new RawShared(connection, answer);
  }

  /** The number of its region, or a negative errno value. */
  offer(shared: SharedBuffer): Promise<number> {
    return offerSharedBuffer(this.#socketName, this.#token, shared, 60_000);
  }

  /** Puts a batch that lies at the beginning of a region, all but its header. Resolves to the error code. */
  async put(topicId: Uuid, region: number, batch: Uint8Array): Promise<number> {
    const length = batch.byteLength - BATCH_HEADER_SIZE;
    const data = [{ at: BATCH_HEADER_SIZE, region, offset: BigInt(BATCH_HEADER_SIZE), length }];
    const partitions = [{ index: 0, batch: batch.subarray(0, BATCH_HEADER_SIZE), data }];
    const { topics, errorCode } = await this.#connection.call(directPutRequest, directPutResponse, {
      attachmentId: this.#attachmentId,
      transactionalId: null,
      acks: -1,
      timeoutMs: 60_000,
      topics: [{ topicId, partitions }],
    });
    return errorCode || topics[0]!.partitions[0]!.errorCode;
  }

  /** Gets all of a value to the beginning of a region. Resolves to the error code. */
  async get(reference: Uint8Array, region: number): Promise<number> {
    const { errorCode, items } = await this.#connection.call(directGetRequest, directGetResponse, {
      attachmentId: this.#attachmentId,
      items: [{ reference, ranges: [], region, targetOffset: 0n }],
    });
    return errorCode || items[0]!.errorCode;
  }

  async release(region: number): Promise<void> {
    const request = { attachmentId: this.#attachmentId, regions: [region] };
    await this.#connection.call(directReleaseRequest, directReleaseResponse, request);
  }

  close(): void {
    this.#connection.close();
  }
}

/** Takes all pages out of a memfd: from then on it holds zeros. */
export function punchHoles({ descriptor, buffer }: SharedBuffer): void {
  const range = ['--offset', '0', '--length', String(buffer.byteLength)];
  execFileSync('fallocate', ['--punch-hole', ...range, `/proc/${process.pid}/fd/${descriptor}`]);
}
