import { createHash, createHmac } from 'node:crypto';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { type MetadataRecord, metadataRecord } from '../metadata/records.ts';
import { limitChanges } from '../metadata/request-limit.ts';
import type { ScramState } from '../metadata/scram-state.ts';

/** Kafka's numbers of mechanisms, and the hash functions of these. */
const HASHES: ReadonlyMap<number, 'sha256' | 'sha512'> = new Map([
  [1, 'sha256'],
  [2, 'sha512'],
]);
const ITERATIONS_MIN = 4096;
const ITERATIONS_MAX = 16384;

export interface ScramDeletion {
  readonly name: string;
  readonly mechanism: number;
}

export interface ScramUpsertion extends ScramDeletion {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly saltedPassword: Uint8Array;
}

/**
 * Changes the SCRAM credentials of users (KIP-554), as Kafka's controller does. What is stored are the keys with which a server checks a
 * client and shows that it knows it (RFC 5802); passwords never come here.
 */
export class ScramCredentials {
  readonly #metadata: ClusterMetadata;

  constructor(metadata: ClusterMetadata) {
    this.#metadata = metadata;
  }

  get state(): ScramState {
    return this.#metadata.state.scram;
  }

  /**
   * Removes and sets credentials of users, each of whom may be named once: one outcome for each user, null for success. What can be
   * changed, is, also beside what is refused.
   * @throws ApiError for more than one request may change
   */
  alter(
    deletions: readonly ScramDeletion[],
    upsertions: readonly ScramUpsertion[],
  ): Promise<Map<string, ApiError | null>> {
    limitChanges(deletions.length + upsertions.length);
    return this.#metadata.change(({ scram }) => {
      const outcomes = new Map<string, ApiError | null>();
      const records = new Map<string, MetadataRecord>();
      const plan = (name: string, make: () => MetadataRecord) => {
        if (outcomes.get(name)) return;
        const isRepeated = records.delete(name);
        try {
          if (isRepeated)
            refuse(
              ErrorCode.DUPLICATE_RESOURCE,
              'A user credential cannot be altered twice in the same request',
            );
          records.set(name, make());
          outcomes.set(name, null);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          outcomes.set(name, error);
        }
      };
      for (const deletion of deletions) plan(deletion.name, () => removal(scram, deletion));
      for (const upsertion of upsertions) plan(upsertion.name, () => credential(upsertion));
      return { records: [...records.values()], result: outcomes };
    });
  }
}

function removal(scram: ScramState, { name, mechanism }: ScramDeletion): MetadataRecord {
  hashOf({ name, mechanism });
  if (!scram.credentialsOf(name).has(mechanism))
    refuse(ErrorCode.RESOURCE_NOT_FOUND, 'Attempt to delete a user credential that does not exist');
  return metadataRecord('removeUserScramCredential', { name, mechanism });
}

function credential(upsertion: ScramUpsertion): MetadataRecord {
  const { name, mechanism, iterations, saltedPassword } = upsertion;
  const hash = hashOf(upsertion);
  if (iterations < ITERATIONS_MIN) refuse(ErrorCode.UNACCEPTABLE_CREDENTIAL, 'Too few iterations');
  if (iterations > ITERATIONS_MAX) refuse(ErrorCode.UNACCEPTABLE_CREDENTIAL, 'Too many iterations');
  if (saltedPassword.byteLength === 0)
    refuse(ErrorCode.UNKNOWN_SERVER_ERROR, 'The salted password must not be empty');
  const hmac = (text: string) => createHmac(hash, saltedPassword).update(text).digest();
  return metadataRecord('userScramCredential', {
    ...{ name, mechanism, iterations },
    // The request's memory does not stay.
    salt: Uint8Array.from(upsertion.salt),
    storedKey: createHash(hash).update(hmac('Client Key')).digest(),
    serverKey: hmac('Server Key'),
  });
}

/** The hash function of a mechanism that a user is named with. @throws ApiError */
function hashOf({ name, mechanism }: ScramDeletion): 'sha256' | 'sha512' {
  if (name === '') refuse(ErrorCode.UNACCEPTABLE_CREDENTIAL, 'Username must not be empty');
  return HASHES.get(mechanism) ?? refuse(ErrorCode.UNSUPPORTED_SASL_MECHANISM, 'Unknown SCRAM mechanism');
}

function refuse(code: ErrorCode, message: string): never {
  throw new ApiError(code, message);
}
