import assert from 'node:assert/strict';
import { offsetCommitKey } from './generated/offset-commit-key.ts';
import { offsetCommitValue } from './generated/offset-commit-value.ts';
import { topicRecord } from './generated/topic-record.ts';
import {
  coordinatorKeyType,
  decodeCoordinatorKey,
  decodeMetadataRecord,
  decodeVersioned,
  encodeCoordinatorKey,
  encodeMetadataRecord,
  encodeVersioned,
} from './internal-records.ts';
import { UnsupportedVersionError } from './wire/errors.ts';

describe('internal records', () => {
  it('puts the type in front of a coordinator key', () => {
    const key = { group: 'g', topic: 't', partition: 3 };
    const bytes = encodeCoordinatorKey(offsetCommitKey, key);
    assert.equal(Buffer.from(bytes).toString('hex'), '000100016700017400000003');
    assert.equal(coordinatorKeyType(bytes), offsetCommitKey.apiKey);
    assert.deepEqual(decodeCoordinatorKey(offsetCommitKey, bytes), key);
  });

  it('puts the version in front of a value', () => {
    const value = offsetCommitValue.create({ offset: 5n, metadata: 'm', commitTimestamp: 6n });
    const bytes = encodeVersioned(offsetCommitValue, value, 3);
    assert.deepEqual(decodeVersioned(offsetCommitValue, bytes), { value, version: 3 });
    bytes[1] = 99;
    assert.throws(() => decodeVersioned(offsetCommitValue, bytes), UnsupportedVersionError);
  });

  it('frames records of __cluster_metadata', () => {
    const record = { name: 'topic', topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' };
    const bytes = encodeMetadataRecord(topicRecord, record, 0);
    assert.equal(Buffer.from(bytes.subarray(0, 3)).toString('hex'), '010200');
    assert.deepEqual(decodeMetadataRecord(bytes), { codec: topicRecord, version: 0, record });
    bytes[1] = 99;
    assert.throws(() => decodeMetadataRecord(bytes), UnsupportedVersionError);
  });
});
