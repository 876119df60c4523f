import assert from 'node:assert/strict';
import { createFetchPartition, createFetchTopic, fetchRequest } from './generated/fetch-request.ts';
import { createFetchResponsePartitionData, fetchResponse } from './generated/fetch-response.ts';
import { findCoordinatorResponse } from './generated/find-coordinator-response.ts';
import { metadataRequest } from './generated/metadata-request.ts';
import type { MessageCodec } from './wire/codec.ts';
import { ProtocolError, UnsupportedVersionError } from './wire/errors.ts';
import { Reader } from './wire/reader.ts';
import { Writer } from './wire/writer.ts';

function throughBytes<T>(codec: MessageCodec<T>, value: T, version: number): T {
  const writer = new Writer();
  codec.write(writer, value, version);
  return codec.read(new Reader(writer.finishBytes()), version);
}

describe('versions of messages', () => {
  it('have limits', () => {
    for (const version of [3, 19]) {
      assert.throws(
        () => throughBytes(fetchRequest, fetchRequest.create(), version),
        UnsupportedVersionError,
      );
      assert.throws(
        () => fetchRequest.read(new Reader(new Uint8Array(100)), version),
        UnsupportedVersionError,
      );
    }
  });

  it('refuse a value of a field that they lack, unless it may be ignored', () => {
    const partition = createFetchPartition({ partition: 1 });
    const topic = createFetchTopic({ topic: 't', partitions: [partition] });
    const request = fetchRequest.create({ topics: [topic] });
    assert.throws(
      () =>
        throughBytes(fetchRequest, { ...request, forgottenTopicsData: [{ ...topic, partitions: [] }] }, 4),
      /FetchRequest version 4 cannot carry a value of forgottenTopicsData/,
    );
    // The rack may be ignored: version 10 lacks it.
    assert.equal(throughBytes(fetchRequest, { ...request, rackId: 'r' }, 10).rackId, '');
    assert.equal(throughBytes(fetchRequest, { ...request, rackId: 'r' }, 11).rackId, 'r');
  });

  it('refuse fields of old versions in new ones', () => {
    const response = findCoordinatorResponse.create({ host: 'h', errorMessage: null });
    assert.equal(throughBytes(findCoordinatorResponse, { ...response, nodeId: 3 }, 1).nodeId, 3);
    assert.throws(() => throughBytes(findCoordinatorResponse, response, 4), UnsupportedVersionError);
  });

  it('tell null from empty where Kafka does', () => {
    assert.equal(throughBytes(metadataRequest, metadataRequest.create({ topics: null }), 1).topics, null);
    assert.deepEqual(throughBytes(metadataRequest, metadataRequest.create({ topics: [] }), 1).topics, []);
    assert.throws(
      () => throughBytes(metadataRequest, metadataRequest.create({ topics: null }), 0),
      ProtocolError,
    );
  });

  it('skip tagged fields that they do not know', () => {
    const writer = new Writer();
    fetchRequest.write(writer, fetchRequest.create(), 12);
    const plain = writer.finishBytes();
    // No tags (a last byte 0) becomes one unknown tag, 99, of two bytes.
    const tagged = Buffer.concat([plain.subarray(0, -1), Buffer.of(1, 99, 2, 0xaa, 0xbb)]);
    const reader = new Reader(tagged);
    assert.deepEqual(fetchRequest.read(reader, 12), fetchRequest.create());
    assert.equal(reader.remaining, 0);
  });

  it('carry tagged structs only when they are not the default', () => {
    const write = (currentLeader: { leaderId: number; leaderEpoch: number } | null) => {
      const partition = createFetchResponsePartitionData({ currentLeader });
      const topic = { topic: 't', topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: [partition] };
      return throughBytes(fetchResponse, fetchResponse.create({ responses: [topic] }), 12).responses[0]!
        .partitions[0]!.currentLeader;
    };
    assert.equal(write(null), null);
    assert.equal(write({ leaderId: -1, leaderEpoch: -1 }), null);
    assert.deepEqual(write({ leaderId: 1, leaderEpoch: 5 }), { leaderId: 1, leaderEpoch: 5 });
  });
});
