import { producerProperties } from '../generators/native.ts';
import type { Pass, Stored } from '../pass.ts';

/** A new topic with the bytes of one measurement. */
export async function freshTopic(pass: Pass, size: number): Promise<Stored> {
  const partitions = 4;
  const topic = await pass.topic(partitions);
  const { seconds, bytes } = pass.options;
  const properties = producerProperties('1');
  const report = await pass.native.run('produce', { topic, size, seconds, bytes, properties });
  return { topic, partitions, size, records: report.records! };
}
