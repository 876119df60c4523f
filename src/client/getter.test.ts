import assert from 'node:assert/strict';
import { crc32c } from '../native/batch.ts';
import { ErrorCode } from '../protocol/errors.ts';
import type { DirectGetRequest } from '../protocol/generated/direct-get-request.ts';
import {
  createDirectGetItemResponse,
  type DirectGetResponse,
  directGetResponse,
} from '../protocol/generated/direct-get-response.ts';
import { encodePayloadReference } from '../protocol/records/payload-reference.ts';
import type { Cluster } from './cluster.ts';
import { DirectError } from './errors.ts';
import { Getter } from './getter.ts';
import type { SharedPool } from './shared-memory.ts';

const SIZE = 10_000;
const LIMIT = 1_500;

describe('data that comes in parts', () => {
  const data = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) & 0xff);
  let requests: number;
  let getter: Getter;
  /** What the gateway has. */
  let stored: Uint8Array;
  /** The gateway takes no reference that was not fetched again. */
  let isExpired: boolean;

  const referencedBy = (crc: number) => {
    const zeros = { flags: 0, originalAttributes: 0, originalCrc: 0, storeId: 0, segmentId: 0n };
    const places = { extentPosition: 0, extentLength: SIZE, valueOffset: 0, recordIndex: 0 };
    const lengths = { valueLength: SIZE, uncompressedLength: SIZE, originalRecordCount: 1 };
    const reference = encodePayloadReference({ ...zeros, ...places, ...lengths, valueCrc: crc });
    const copyOfSameBatch = () => assert.fail('one of a batch alone is whole');
    const known = { node: 1, size: SIZE, crc, reference, batch: reference, copyOfSameBatch };
    return { ...known, doing: 'get', renew: async () => false };
  };

  beforeEach(() => {
    requests = 0;
    stored = data;
    isExpired = false;
    const call = async (
      _request: unknown,
      _response: unknown,
      { items }: DirectGetRequest,
      { land }: { land: (response: DirectGetResponse) => readonly Uint8Array[] },
    ) => {
      requests++;
      if (isExpired) {
        const errorCode = ErrorCode.DELEGATION_TOKEN_EXPIRED;
        return directGetResponse.create({
          items: items.map(() => createDirectGetItemResponse({ errorCode })),
        });
      }
      const bytes = items.map(({ ranges }) =>
        Buffer.concat(
          ranges.flatMap(({ offset, count, block, stride }) =>
            Array.from({ length: count }, (_, i) =>
              stored.subarray(offset + i * stride, offset + i * stride + block),
            ),
          ),
        ),
      );
      const answer = directGetResponse.create({
        items: bytes.map((one) => createDirectGetItemResponse({ length: one.byteLength, crc: crc32c(one) })),
      });
      for (const [i, target] of land(answer).entries()) target.set(bytes[i]!);
      return answer;
    };
    const limits = { bytes: LIMIT, ranges: 100 };
    const channel = async () => ({
      connection: { call, versionOf: () => 1 },
      attachment: { path: 'tcp', limits },
    });
    getter = new Getter(
      { options: { requestTimeoutMs: 10_000 }, channel } as unknown as Cluster,
      {} as SharedPool,
    );
  });

  const whole = [{ offset: 0, length: SIZE, count: 1, stride: SIZE }];

  it('is whole when its parts together are what was produced', async () => {
    const target = new Uint8Array(SIZE);
    await getter.get(referencedBy(crc32c(data)), whole, target);
    assert.deepEqual(target, data);
    assert.ok(requests >= SIZE / LIMIT);
  });

  it('is damaged when it is not what was produced, though each part came as it was sent', async () => {
    stored = data.slice();
    stored[SIZE - 1]! ^= 1;
    const got = getter.get(referencedBy(crc32c(data)), whole, new Uint8Array(SIZE));
    await assert.rejects(got, { code: 'CHECKSUM', doing: 'get' });
  });

  it('comes also when the gateway was away while a reference was fetched again', async () => {
    const doing = 'fetch';
    const failures = [
      new DirectError('CONNECTION', 'lost', { doing }),
      new DirectError('BROKER', 'no leader', { doing, retriable: true }),
    ];
    isExpired = true;
    const renew = async () => {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      isExpired = false;
      return true;
    };
    const part = [{ offset: 0, length: 100, count: 1, stride: 100 }];
    const target = new Uint8Array(100);
    await getter.get({ ...referencedBy(crc32c(data)), renew }, part, target);
    assert.deepEqual(target, data.slice(0, 100));
    assert.equal(failures.length, 0);
  });

  it('may be parts of it, in any order', async () => {
    const ranges = [
      { offset: 9_000, length: 100, count: 1, stride: 100 },
      { offset: 5, length: 7, count: 300, stride: 30 },
    ];
    const target = new Uint8Array(2_200);
    await getter.get(referencedBy(0), ranges, target);
    const blocks = Array.from({ length: 300 }, (_, i) => data.subarray(5 + i * 30, 12 + i * 30));
    assert.deepEqual(Buffer.from(target), Buffer.concat([data.subarray(9_000, 9_100), ...blocks]));
  });

  it('is asked for no more when nobody waits for it, and what is under way is told when it has landed', async () => {
    const told: string[] = [];
    const awaiting = {
      isWanted: true,
      arrived: () => told.push(`arrived after ${requests}`),
      failed: (error: Error) => told.push((error as DirectError).code),
    };
    getter.fill(referencedBy(crc32c(data)), whole, new Uint8Array(SIZE), awaiting);
    await new Promise((resolve) => queueMicrotask(() => resolve(null)));
    awaiting.isWanted = false;
    getter.forgetUnwanted();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(told, ['ABORTED']);
    assert.ok(requests < SIZE / LIMIT, `${requests} requests`);
    getter.fill(referencedBy(crc32c(data)), whole, new Uint8Array(SIZE), awaiting);
    assert.deepEqual(told, ['ABORTED', 'ABORTED']);
  });
});
