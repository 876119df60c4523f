import assert from 'node:assert/strict';
import { settingsOf } from './options.ts';

describe('options of an application', () => {
  it('take brokers as a list of addresses, or as a text with commas', () => {
    const brokers = (bootstrap: string | string[]) => settingsOf({ applicationId: 'a', bootstrap }).bootstrap;
    assert.deepEqual(brokers('one:9092, two:9092'), ['one:9092', 'two:9092']);
    assert.deepEqual(brokers(['one:9092']), ['one:9092']);
  });

  it('that are missing are named', () => {
    const invalid = (options: object, message: RegExp) =>
      assert.throws(() => settingsOf(options as never), { code: 'INVALID_ARGUMENT', message });
    invalid({ bootstrap: 'one:9092' }, /applicationId/);
    invalid({ applicationId: 'a' }, /bootstrap/);
    invalid({ applicationId: 'a', bootstrap: '' }, /bootstrap/);
  });
});
