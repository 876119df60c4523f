import assert from 'node:assert/strict';
import {
  type AccessControlEntryRecord,
  accessControlEntryRecord,
} from '../../protocol/generated/access-control-entry-record.ts';
import {
  type DelegationTokenRecord,
  delegationTokenRecord,
} from '../../protocol/generated/delegation-token-record.ts';
import { removeAccessControlEntryRecord } from '../../protocol/generated/remove-access-control-entry-record.ts';
import { decodeMetadataRecord, encodeMetadataRecord } from '../../protocol/internal-records.ts';
import { MemoryMetadataLog, newTopic, startBroker } from './metadata.fixture.ts';

const IDS = ['AAAAAAAAAAAAAAAAAAAAAg', 'AAAAAAAAAAAAAAAAAAAAAw'];

describe('records that only Apache Kafka acts on', () => {
  it('stay in the snapshots until Kafka had removed or replaced them', async () => {
    const log = new MemoryMetadataLog();
    const acl = (id: string) =>
      encodeMetadataRecord(accessControlEntryRecord, accessControlEntryRecord.create({ id, host: '*' }), 0);
    const token = (expirationTimestamp: bigint) =>
      encodeMetadataRecord(
        delegationTokenRecord,
        delegationTokenRecord.create({ tokenId: 't', expirationTimestamp }),
        0,
      );
    const remove = removeAccessControlEntryRecord.create({ id: IDS[0]! });
    await log.append([
      ...IDS.map(acl),
      token(4096n),
      encodeMetadataRecord(removeAccessControlEntryRecord, remove, 0),
      token(8192n),
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
        of(delegationTokenRecord).map((record) => (record as DelegationTokenRecord).expirationTimestamp),
        [8192n],
      );
      assert.equal(of(removeAccessControlEntryRecord).length, 0);
    }
  });
});
