import type { RemoveUserScramCredentialRecord } from '../../protocol/generated/remove-user-scram-credential-record.ts';
import type { UserScramCredentialRecord } from '../../protocol/generated/user-scram-credential-record.ts';
import type { MetadataRecord } from './records.ts';

/** The SCRAM credentials of users that the metadata log has, at most one for each mechanism. Kafka's numbers of mechanisms. */
export class ScramState {
  readonly #byUser = new Map<string, Map<number, UserScramCredentialRecord>>();

  users(): IterableIterator<string> {
    return this.#byUser.keys();
  }

  /** By mechanism; none for a user that is not known. */
  credentialsOf(user: string): ReadonlyMap<number, UserScramCredentialRecord> {
    return this.#byUser.get(user) ?? new Map();
  }

  set(record: UserScramCredentialRecord): void {
    const credentials = this.#byUser.get(record.name) ?? new Map<number, UserScramCredentialRecord>();
    credentials.set(record.mechanism, record);
    this.#byUser.set(record.name, credentials);
  }

  remove({ name, mechanism }: RemoveUserScramCredentialRecord): void {
    const credentials = this.#byUser.get(name);
    credentials?.delete(mechanism);
    if (credentials?.size === 0) this.#byUser.delete(name);
  }

  *records(): IterableIterator<MetadataRecord> {
    for (const credentials of this.#byUser.values())
      for (const value of credentials.values()) yield { kind: 'userScramCredential', value };
  }
}
