export { type BuilderOptions, StreamsBuilder } from './dsl/builder.ts';
export type { Grouped, WindowedGrouped } from './dsl/grouped.ts';
export type { Named, RepartitionOptions, SerdeOptions, SinkOptions, SourceOptions } from './dsl/options.ts';
export type { Stream } from './dsl/stream.ts';
export type { Table } from './dsl/table.ts';
export { StreamsError, type StreamsErrorCode } from './errors.ts';
export type { Headers } from './records.ts';
export { StreamsApp } from './runtime/app.ts';
export type { AppState, Guarantee, StreamsOptions } from './runtime/options.ts';
export type { BadRecordPolicy } from './runtime/task.ts';
export { type Serde, serdes } from './serdes.ts';
export {
  TestDriver,
  type TestDriverOptions,
  type TestInput,
  type TestRecord,
  type TestSerdes,
} from './test-driver.ts';
export type { Topology } from './topology.ts';
export {
  between,
  hopping,
  type JoinWindows,
  type SessionWindows,
  session,
  type TimeWindows,
  tumbling,
  type Window,
  type Windowed,
  type WindowOptions,
  within,
} from './windows.ts';
