/** The direct API of Kafabric; docs/direct-api.md begins with five minutes of it. */
export { METADATA_HEADER } from './batch-encoder.ts';
export { Client, type ClientOptions, type CreateTopicOptions } from './client.ts';
export { Consumer, type ConsumerOptions, type DataBroker, type StartPosition } from './consumer.ts';
export { DirectError, type DirectErrorCode } from './errors.ts';
export type { Event } from './event.ts';
export type { View } from './mapped-memory.ts';
export {
  type EventData,
  Producer,
  type ProducerOptions,
  type PushOptions,
  type PushResult,
} from './producer.ts';
export {
  type DataDescriptor,
  type DataSelector,
  type DeclarativeSelector,
  type Range,
  type Selection,
  slice,
  strided,
} from './selection.ts';
export type { Path, RegisteredBuffer } from './shared-memory.ts';
export type { TopicHandle } from './topic.ts';
export type {
  CustomForms,
  PartitionSelector,
  PartitionSelectorSpec,
  Serializer,
  SerializerSpec,
  TopicForm,
  Validator,
  ValidatorSpec,
} from './topic-form.ts';
