/** The direct API of Kafabric; docs/direct-api.md begins with five minutes of it. */
export { METADATA_HEADER } from './batch-encoder.ts';
export { Client, type CreateTopicOptions, type TopicDescription } from './client.ts';
export type { ClientOptions } from './client-options.ts';
export type { PartitionInfo, TopicInfo } from './cluster.ts';
export type { TlsOptions } from './connection.ts';
export { Consumer, type PullOptions } from './consumer.ts';
export type { ConsumerOptions, DataBroker } from './consumer-options.ts';
export { type Abortable, DirectError, type DirectErrorCode } from './errors.ts';
export type { Event } from './event.ts';
export type { FabricChoice } from './fabric-path.ts';
export type { CustomForms, CustomSpec, FormModule, ModuleSpec, Modules } from './form-code.ts';
export type {
  GroupAdmin,
  GroupDescription,
  GroupListing,
  GroupPartition,
  OffsetChange,
} from './group-admin.ts';
export type { PartitionOffset } from './group-offsets.ts';
export type { PushResult } from './lane.ts';
export type { StartPosition } from './list-offsets.ts';
export type { View } from './mapped-memory.ts';
export { type EventData, Producer, type PushOptions, type Transaction } from './producer.ts';
export type { ProducerOptions } from './producer-options.ts';
export {
  type Condition,
  type DataDescriptor,
  type DataSelector,
  type DataSelectorSpec,
  type DeclarativeSelector,
  type Limits,
  type Range,
  type Selection,
  type SelectorRule,
  slice,
  strided,
} from './selection.ts';
export type { Path, RegisteredBuffer } from './shared-memory.ts';
export type { TopicHandle } from './topic.ts';
export type {
  PartitionSelector,
  PartitionSelectorSpec,
  Serializer,
  SerializerSpec,
  TopicForm,
  Validator,
  ValidatorSpec,
} from './topic-form.ts';
