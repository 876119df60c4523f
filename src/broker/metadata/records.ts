import { brokerRegistrationChangeRecord } from '../../protocol/generated/broker-registration-change-record.ts';
import { clientQuotaRecord } from '../../protocol/generated/client-quota-record.ts';
import { configRecord } from '../../protocol/generated/config-record.ts';
import { featureLevelRecord } from '../../protocol/generated/feature-level-record.ts';
import { partitionChangeRecord } from '../../protocol/generated/partition-change-record.ts';
import { partitionRecord } from '../../protocol/generated/partition-record.ts';
import { producerIdsRecord } from '../../protocol/generated/producer-ids-record.ts';
import { registerBrokerRecord } from '../../protocol/generated/register-broker-record.ts';
import { removeTopicRecord } from '../../protocol/generated/remove-topic-record.ts';
import { removeUserScramCredentialRecord } from '../../protocol/generated/remove-user-scram-credential-record.ts';
import { topicRecord } from '../../protocol/generated/topic-record.ts';
import { userScramCredentialRecord } from '../../protocol/generated/user-scram-credential-record.ts';
import {
  decodeMetadataRecord as decodeFrame,
  encodeMetadataRecord as encodeFrame,
} from '../../protocol/internal-records.ts';
import type { MessageCodec } from '../../protocol/wire/codec.ts';

/** The records of `__cluster_metadata` that this broker acts on, in Kafka's own schemas. */
const codecs = {
  registerBroker: registerBrokerRecord,
  brokerRegistrationChange: brokerRegistrationChangeRecord,
  topic: topicRecord,
  partition: partitionRecord,
  partitionChange: partitionChangeRecord,
  config: configRecord,
  clientQuota: clientQuotaRecord,
  removeTopic: removeTopicRecord,
  featureLevel: featureLevelRecord,
  producerIds: producerIdsRecord,
  userScramCredential: userScramCredentialRecord,
  removeUserScramCredential: removeUserScramCredentialRecord,
} as const;

type Kind = keyof typeof codecs;
type ValueOfKind<K extends Kind> = (typeof codecs)[K] extends MessageCodec<infer T> ? T : never;

/** One decoded record. */
export type MetadataRecord = { [K in Kind]: { readonly kind: K; readonly value: ValueOfKind<K> } }[Kind];

/** The versions that Apache Kafka 4.3 writes. */
const WRITTEN_VERSIONS: Record<Kind, number> = {
  registerBroker: 3,
  brokerRegistrationChange: 2,
  topic: 0,
  partition: 2,
  partitionChange: 2,
  config: 0,
  clientQuota: 0,
  removeTopic: 0,
  featureLevel: 0,
  producerIds: 0,
  userScramCredential: 0,
  removeUserScramCredential: 0,
};

const kindByKey = new Map(Object.entries(codecs).map(([kind, { apiKey }]) => [apiKey, kind as Kind]));

/** Builds a record, with Kafka's defaults for the fields that are left out. */
export function metadataRecord<K extends Kind>(kind: K, value: Partial<ValueOfKind<K>>): MetadataRecord {
  const codec = codecs[kind] as unknown as MessageCodec<ValueOfKind<K>>;
  return { kind, value: codec.create(value) } as MetadataRecord;
}

/** Encodes a record as the value of a log record. */
export function encodeMetadataRecord({ kind, value }: MetadataRecord): Uint8Array {
  return encodeFrame(codecs[kind] as MessageCodec<unknown>, value, WRITTEN_VERSIONS[kind]);
}

/**
 * Decodes the value of a log record. Null for a type that Kafka writes and that this broker does not act on.
 * @throws ProtocolError for bytes that are no metadata record
 */
export function decodeMetadataRecord(bytes: Uint8Array): MetadataRecord | null {
  const { codec, record } = decodeFrame(bytes);
  const kind = kindByKey.get(codec.apiKey);
  return kind === undefined ? null : ({ kind, value: record } as MetadataRecord);
}
