import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import { describe, it } from 'mocha';
import { ErrorCode } from '../../protocol/errors.ts';
import { MemoryMetadataLog, startBroker } from '../metadata/metadata.fixture.ts';
import { ScramCredentials, type ScramUpsertion } from './scram-credentials.ts';

const [SHA_256, SHA_512] = [1, 2];
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');

const upsertion = (name: string, more: Partial<ScramUpsertion> = {}): ScramUpsertion => ({
  ...{ name, mechanism: SHA_256, iterations: 4096, salt: SALT },
  saltedPassword: pbkdf2Sync('pencil', SALT, 4096, 32, 'sha256'),
  ...more,
});

describe('SCRAM credentials', () => {
  const open = async (log = new MemoryMetadataLog(), overrides: string[] = []) =>
    new ScramCredentials((await startBroker(log, { overrides })).metadata);
  const alter = async (
    scram: ScramCredentials,
    deletions: Parameters<ScramCredentials['alter']>[0],
    upsertions: readonly ScramUpsertion[],
  ) =>
    Object.fromEntries(
      Array.from(await scram.alter(deletions, upsertions), ([user, error]) => [user, error?.code ?? 0]),
    );

  it('stores the keys of RFC 7677, and keeps them over snapshots and restarts', async () => {
    const log = new MemoryMetadataLog();
    const scram = await open(log, ['metadata.log.max.record.bytes.between.snapshots=1']);
    assert.deepEqual(await alter(scram, [], [upsertion('user')]), { user: 0 });
    assert.ok(log.snapshots > 0);
    const again = (await open(log)).state.credentialsOf('user').get(SHA_256!);
    assert.ok(again);
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
    assert.equal(text(again.storedKey), 'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=');
    assert.equal(text(again.serverKey), 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=');
    assert.equal(text(again.salt), text(SALT));
    assert.equal(again.iterations, 4096);
  });

  it('removes the credentials of one mechanism', async () => {
    const log = new MemoryMetadataLog();
    const scram = await open(log);
    await alter(scram, [], [upsertion('ann')]);
    await alter(scram, [], [upsertion('ann', { mechanism: SHA_512!, iterations: 8192 })]);
    assert.deepEqual([...scram.state.credentialsOf('ann').keys()], [SHA_256, SHA_512]);
    assert.deepEqual(await alter(scram, [{ name: 'ann', mechanism: SHA_256! }], []), { ann: 0 });
    assert.deepEqual([...(await open(log)).state.credentialsOf('ann').keys()], [SHA_512]);
    await alter(scram, [{ name: 'ann', mechanism: SHA_512! }], []);
    assert.deepEqual([...(await open(log)).state.users()], []);
  });

  it('refuses more than 10,000 changes at once', async () => {
    const scram = await open();
    const deletions = Array.from({ length: 10_000 }, (_, index) => ({
      name: `u${index}`,
      mechanism: SHA_256!,
    }));
    await assert.rejects(
      async () => scram.alter(deletions, [upsertion('user')]),
      ({ code }: { code: number }) => code === ErrorCode.POLICY_VIOLATION,
    );
    assert.equal((await scram.alter(deletions, [])).size, 10_000);
  });

  it('refuses what Kafka refuses, and does the rest', async () => {
    const scram = await open();
    const { UNACCEPTABLE_CREDENTIAL, UNSUPPORTED_SASL_MECHANISM, RESOURCE_NOT_FOUND, DUPLICATE_RESOURCE } =
      ErrorCode;
    assert.deepEqual(
      await alter(
        scram,
        [
          { name: 'nobody', mechanism: SHA_256! },
          { name: 'both', mechanism: SHA_256! },
        ],
        [
          upsertion('good'),
          upsertion('few', { iterations: 4095 }),
          upsertion('many', { iterations: 16385 }),
          upsertion('what', { mechanism: 0 }),
          upsertion(''),
          upsertion('twice'),
          upsertion('twice', { mechanism: SHA_512! }),
          upsertion('both'),
        ],
      ),
      {
        nobody: RESOURCE_NOT_FOUND,
        both: RESOURCE_NOT_FOUND,
        good: 0,
        few: UNACCEPTABLE_CREDENTIAL,
        many: UNACCEPTABLE_CREDENTIAL,
        what: UNSUPPORTED_SASL_MECHANISM,
        '': UNACCEPTABLE_CREDENTIAL,
        twice: DUPLICATE_RESOURCE,
      },
    );
    assert.deepEqual([...scram.state.users()], ['good']);
  });
});
