import assert from 'node:assert/strict';
import { crc32c } from '../../../../native/batch.ts';
import { encodeCrc32c, isChecksumOf } from './checksums.ts';

describe('Checksums of objects', () => {
  const bytes = Buffer.from('123456789');
  const parts = [bytes.subarray(0, 5), bytes.subarray(5)].map((part) => ({
    crc32c: crc32c(part),
    bytes: part.byteLength,
  }));

  it('are written as object stores do', () => {
    assert.equal(encodeCrc32c(crc32c(bytes)), '4waSgw=='); // the check value of CRC-32C, 0xe3069283
  });

  it('are those of all bytes, or of the checksums of the parts', () => {
    assert.ok(isChecksumOf('4waSgw==', parts));
    assert.ok(isChecksumOf('ZrDMrw==-2', parts));
    assert.ok(!isChecksumOf('ZrDMrw==-3', parts));
    assert.ok(!isChecksumOf('ZrDMrw==', parts));
    assert.ok(!isChecksumOf('4waSgw==', parts.slice(0, 1)));
  });
});
