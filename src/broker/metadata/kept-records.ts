import { accessControlEntryRecord } from '../../protocol/generated/access-control-entry-record.ts';
import { delegationTokenRecord } from '../../protocol/generated/delegation-token-record.ts';
import { registerControllerRecord } from '../../protocol/generated/register-controller-record.ts';
import { removeAccessControlEntryRecord } from '../../protocol/generated/remove-access-control-entry-record.ts';
import { removeDelegationTokenRecord } from '../../protocol/generated/remove-delegation-token-record.ts';
import { decodeMetadataRecord } from '../../protocol/internal-records.ts';
import type { MessageCodec } from '../../protocol/wire/codec.ts';

interface Identity {
  /** Of what a record is about: a later one of the same key takes its place. */
  keyOf(record: unknown): string;
  readonly removes: boolean;
}

const identities = new Map<number, Identity>();

function keep<T>(codec: MessageCodec<T>, keyOf: (record: T) => string, removes = false): void {
  identities.set(codec.apiKey, { keyOf: keyOf as Identity['keyOf'], removes });
}

keep(accessControlEntryRecord, ({ id }) => `acl ${id}`);
keep(removeAccessControlEntryRecord, ({ id }) => `acl ${id}`, true);
keep(delegationTokenRecord, ({ tokenId }) => `token ${tokenId}`);
keep(removeDelegationTokenRecord, ({ tokenId }) => `token ${tokenId}`, true);
keep(registerControllerRecord, ({ controllerId }) => `controller ${controllerId}`);

/**
 * What Apache Kafka wrote of access control, delegation tokens and controllers: this broker does not act on it, and keeps it in its snapshots
 * for when Kafka gets the directory back.
 */
export class KeptRecords {
  readonly #byKey = new Map<string, Uint8Array>();

  /** Values of the records that lead to this state. */
  values(): IterableIterator<Uint8Array> {
    return this.#byKey.values();
  }

  /** Takes in the value of a record; of other kinds nothing has to be kept. @throws ProtocolError */
  take(value: Uint8Array): void {
    const { codec, record } = decodeMetadataRecord(value);
    const identity = identities.get(codec.apiKey);
    if (identity === undefined) return;
    const key = identity.keyOf(record);
    this.#byKey.delete(key);
    if (!identity.removes) this.#byKey.set(key, Uint8Array.from(value));
  }
}
