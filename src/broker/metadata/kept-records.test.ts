import assert from 'node:assert/strict';
import {
  type AccessControlEntryRecord,
  accessControlEntryRecord,
} from '../../protocol/generated/access-control-entry-record.ts';
import { removeAccessControlEntryRecord } from '../../protocol/generated/remove-access-control-entry-record.ts';
import { userScramCredentialRecord } from '../../protocol/generated/user-scram-credential-record.ts';
import { decodeMetadataRecord, encodeMetadataRecord } from '../../protocol/internal-records.ts';
import { MemoryMetadataLog, newTopic, startBroker } from './metadata.fixture.ts';

const IDS = ['AAAAAAAAAAAAAAAAAAAAAg', 'AAAAAAAAAAAAAAAAAAAAAw'];

describe('records that only Apache Kafka acts on', () => {
  it('stay in the snapshots until Kafka had removed or replaced them', async () => {
    const log = new MemoryMetadataLog();
    const acl = (id: string) =>
      encodeMetadataRecord(accessControlEntryRecord, accessControlEntryRecord.create({ id, host: '*' }), 0);
    const scram = (iterations: number) =>
      encodeMetadataRecord(
        userScramCredentialRecord,
        userScramCredentialRecord.create({ name: 'ann', mechanism: 1, iterations }),
        0,
      );
    const remove = removeAccessControlEntryRecord.create({ id: IDS[0]! });
    await log.append([
      ...IDS.map(acl),
      scram(4096),
      encodeMetadataRecord(removeAccessControlEntryRecord, remove, 0),
      scram(8192),
    ]);
    for (let start = 0; start < 2; start++) {
      const { topics } = await startBroker(log, {
        seed: start,
        overrides: ['metadata.log.max.record.bytes.between.snapshots=1'],
      });
      await topics.createTopics([newTopic(`t${start}`)]);
      assert.ok(log.snapshots > start);
      const records = log.values.map(decodeMetadataRecord);
      const of = (codec: { name: string }) =>
        records.filter((each) => each.codec.name === codec.name).map(({ record }) => record);
      assert.deepEqual(
        of(accessControlEntryRecord).map((record) => (record as AccessControlEntryRecord).id),
        [IDS[1]],
      );
      assert.deepEqual(
        of(userScramCredentialRecord).map((record) => (record as { iterations: number }).iterations),
        [8192],
      );
      assert.equal(of(removeAccessControlEntryRecord).length, 0);
    }
  });
});
