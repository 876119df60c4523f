import assert from 'node:assert/strict';
import { serdes } from './serdes.ts';

describe('serdes', () => {
  it('give back what they took', () => {
    const avro = serdes.avro<{ id: number }>({
      type: 'record',
      name: 'User',
      fields: [{ name: 'id', type: 'int' }],
    });
    assert.deepEqual({ ...avro.deserialize(avro.serialize({ id: 3 })) }, { id: 3 });
    assert.equal(serdes.long.deserialize(serdes.long.serialize(-5)), -5);
    assert.equal(serdes.string.deserialize(serdes.string.serialize('größer')), 'größer');
    assert.equal(serdes.string.deserialize(serdes.string.serialize('\ufeffmarked')), '\ufeffmarked');
    assert.deepEqual(serdes.json().deserialize(serdes.json().serialize([1, null])), [1, null]);
    const key = { key: 'k', window: { start: 10, end: 15 } };
    const windowed = serdes.windowed(serdes.string, 5);
    assert.deepEqual(windowed.deserialize(windowed.serialize(key)), key);
    const session = serdes.sessionWindowed(serdes.string);
    assert.deepEqual(session.deserialize(session.serialize(key)), key);
  });

  it('write what Kafka’s own write', () => {
    assert.equal(serdes.long.serialize(258).toString('hex'), '0000000000000102');
    const key = { key: 'k', window: { start: 1, end: 2 } };
    assert.equal(serdes.windowed(serdes.string, 1).serialize(key).toString('hex'), '6b0000000000000001');
    assert.equal(
      serdes.sessionWindowed(serdes.string).serialize(key).toString('hex'),
      '6b00000000000000020000000000000001',
    );
  });

  it('keep nothing of bytes that the application may use again', () => {
    const scratch = Buffer.from('first');
    const written = serdes.bytes.serialize(scratch);
    scratch.write('other');
    assert.equal(String(written), 'first');
  });

  it('refuse what is not theirs', () => {
    assert.throws(() => serdes.string.serialize(1 as never), /takes a string, the value is number/);
    assert.throws(() => serdes.string.deserialize(Buffer.from([0xff])));
    assert.throws(() => serdes.long.serialize(1.5), /whole number/);
    assert.throws(() => serdes.long.deserialize(Buffer.alloc(4)), /4 bytes are no long/);
    assert.throws(() => serdes.json().serialize(undefined), /JSON/);
    assert.throws(() => serdes.avro({ type: 'int' }).serialize('x'), /Avro schema allows/);
    assert.throws(() => serdes.avro('{'), /not an Avro schema/);
    assert.throws(() => serdes.windowed(serdes.string, 1).deserialize(Buffer.alloc(3)), /no window/);
  });
});
