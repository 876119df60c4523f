import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkEvolution } from './avro-form.ts';
import { murmur2, partitionOfKey } from './murmur2.ts';
import { partsOf } from './range-parts.ts';
import {
  copySelected,
  type Range,
  rangesOf,
  type Selection,
  selectedBytes,
  selectorOf,
} from './selection.ts';
import { checkForm, formOfConfigs, serializerOf, validatorOf } from './topic-form.ts';

const SIZE = 200;
const range = fc
  .record({
    offset: fc.nat(SIZE),
    length: fc.nat(SIZE),
    count: fc.integer({ min: 1, max: 10 }),
    extra: fc.nat(20),
  })
  .map(({ extra, ...rest }) => ({ ...rest, stride: rest.length + extra }))
  .filter(({ offset, length, count, stride }) => offset + (count - 1) * stride + length <= SIZE);

describe('selections', () => {
  it('of any shape copy what plain slices do', () => {
    const data = Uint8Array.from({ length: SIZE }, (_, i) => (i * 37) & 0xff);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), (wanted: Range[]) => {
        const ranges = rangesOf(wanted, SIZE, () => 'test')!;
        const slices = wanted.flatMap(({ offset, length, count = 1, stride = length }) =>
          Array.from({ length: count }, (_, i) =>
            data.subarray(offset + i * stride, offset + i * stride + length),
          ),
        );
        const expected = Buffer.concat(slices);
        const target = new Uint8Array(selectedBytes(ranges));
        copySelected(Buffer.concat([Buffer.alloc(7), data]), 7, ranges, target);
        assert.deepEqual(Buffer.from(target), expected);
      }),
    );
  });

  it('outside the data are refused', () => {
    for (const wrong of [
      { offset: -1, length: 1 },
      { offset: 0, length: 11 },
      { offset: 0, length: 4, count: 3 },
      { offset: 0, length: 4, count: 2, stride: 3 },
      { offset: 0.5, length: 1 },
      { offset: 0, length: 1, count: 0 },
      { offset: Number.NaN, length: 1 },
      { offset: 0, length: -1 },
      { offset: 2, length: 1, count: 3, stride: 2 ** 52 },
      { offset: 0, length: 1, count: Number.POSITIVE_INFINITY },
      { length: 1 },
      'most',
      null,
      undefined,
      7,
      [{ offset: 0, length: 1 }, null],
    ])
      assert.throws(() => rangesOf(wrong as Selection, 10, () => 'test'), { code: 'INVALID_ARGUMENT' });
  });

  it('of nothing, however often, are nothing', () => {
    const all = [
      { offset: 10, length: 0, count: 2 ** 53 - 1 },
      { offset: 3, length: 0 },
    ];
    const ranges = rangesOf(all, 10, () => 'test')!;
    assert.equal(selectedBytes(ranges), 0);
    copySelected(Buffer.alloc(10), 0, ranges, new Uint8Array(0));
    assert.deepEqual(
      rangesOf([], 10, () => 'test'),
      [],
    );
  });

  it('are the same in parts, none of which is larger than it may be', () => {
    const data = Buffer.from(Uint8Array.from({ length: SIZE }, (_, i) => (i * 37) & 0xff));
    const limit = fc.integer({ min: 1, max: SIZE });
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), limit, limit, (wanted: Range[], span, blocks) => {
        const ranges = rangesOf(wanted, SIZE, () => 'test')!;
        const expected = new Uint8Array(selectedBytes(ranges));
        copySelected(data, 0, ranges, expected);
        const target = new Uint8Array(expected.byteLength);
        for (const part of partsOf(ranges, span, blocks)) {
          const first = Math.min(...part.ranges.map(({ offset }) => offset));
          const end = Math.max(
            ...part.ranges.map(({ offset, length, count, stride }) => offset + (count - 1) * stride + length),
          );
          assert.ok(end - first <= span && part.bytes <= span);
          assert.ok(part.ranges.reduce((sum, { count }) => sum + count, 0) <= blocks);
          assert.equal(part.bytes, selectedBytes(part.ranges));
          copySelected(data, 0, part.ranges, target.subarray(part.from, part.from + part.bytes));
        }
        assert.deepEqual(target, expected);
      }),
    );
  });

  it('may be declared', () => {
    const select = selectorOf({
      rules: [
        { when: { 'run.kind': 'hot', t: { min: 2 } }, select: 'all' },
        { when: { t: 1 }, select: { offset: 0, length: 8 } },
      ],
    });
    const descriptor = { size: 100, inline: false };
    assert.equal(select({ metadata: { run: { kind: 'hot' }, t: 2 }, descriptor }), 'all');
    assert.deepEqual(select({ metadata: { run: { kind: 'hot' }, t: 1 }, descriptor }), {
      offset: 0,
      length: 8,
    });
    assert.equal(select({ metadata: null, descriptor }), 'none');
  });

  it('may be declared by the size of the data, and by several values for a field', () => {
    const select = selectorOf({
      rules: [
        { size: { max: 99 }, select: 'all' },
        { when: { kind: ['hot', 'warm'] }, size: { min: 1000 }, select: { offset: 0, length: 1000 } },
      ],
    });
    const of = (kind: string, size: number) =>
      select({ metadata: { kind }, descriptor: { size, inline: false } });
    assert.equal(of('cold', 99), 'all');
    assert.equal(of('warm', 999), 'none');
    assert.deepEqual(of('warm', 1000), { offset: 0, length: 1000 });
    assert.equal(of('cold', 1000), 'none');
  });

  it('leave metadata unread that they do not ask for', () => {
    const unread = {
      get metadata(): unknown {
        throw new Error('read');
      },
      descriptor: { size: 50, inline: false },
    };
    for (const selector of ['all', { rules: [{ size: { max: 99 }, select: 'all' }] }] as const)
      assert.equal(selectorOf(selector)(unread), 'all');
  });
});

describe('partitions of keys', () => {
  it('are those of Kafka’s producers', () => {
    // From org.apache.kafka.common.utils.UtilsTest.
    const known: [string, number][] = [
      ['21', -973932308],
      ['foobar', -790332482],
      ['a-little-bit-long-string', -985981536],
      ['a-little-bit-longer-string', -1486304829],
      ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
      ['abc', 479470107],
    ];
    for (const [text, hash] of known) assert.equal(murmur2(Buffer.from(text)), hash, text);
    assert.equal(partitionOfKey(Buffer.from('foobar'), 7), (-790332482 & 0x7fffffff) % 7);
  });
});

describe('serializers', () => {
  it('give back what they were given', () => {
    const metadata = { step: 3, name: 'x', values: [1, 2.5] };
    for (const type of ['json', 'msgpack'] as const) {
      const serializer = serializerOf({ type });
      assert.deepEqual(serializer.deserialize(serializer.serialize(metadata)), metadata);
    }
    assert.throws(() => serializerOf({ type: 'raw' }).serialize('text'), { code: 'INVALID_METADATA' });
    assert.throws(() => validatorOf({ type: 'json-schema', schema: { type: 'objet' } }), {
      code: 'INVALID_ARGUMENT',
    });
  });

  it('refuse schemas that cannot read what is there', () => {
    const before = { type: 'record', name: 'A', fields: [{ name: 'a', type: 'int' }] };
    checkEvolution([before, { ...before, fields: [{ name: 'a', type: 'long' }] }]);
    assert.throws(() => checkEvolution([before, { ...before, fields: [{ name: 'b', type: 'int' }] }]), {
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('forms of topics', () => {
  it('are refused before they are stored, and when they were stored by somebody else', () => {
    const wrong = [
      { serializer: 'json' },
      { serializer: { type: 'xml' } },
      { serializer: { type: 'toString' } },
      { serializer: { type: 'avro', schemas: {} } },
      { validator: { type: 'json-schema' } },
      { validator: { type: 'avro', schema: null } },
      { partitionSelector: { type: 'field' } },
      { partitionSelector: null },
    ];
    for (const form of wrong) {
      assert.throws(() => checkForm(form as never, 'test'), { code: 'INVALID_ARGUMENT' });
      const [[part, value]] = Object.entries(form) as [[string, unknown]];
      const name = { serializer: 'direct.serializer', validator: 'direct.validator' }[part];
      const config = name ?? 'direct.partition.selector';
      assert.throws(() => formOfConfigs(new Map([[config, JSON.stringify(value)]]), 'test'), {
        code: 'INVALID_ARGUMENT',
      });
    }
    checkForm({ serializer: { type: 'raw' }, partitionSelector: { type: 'field', field: 'a.b' } }, 'test');
    assert.deepEqual(formOfConfigs(new Map(), 'test').serializer, { type: 'json' });
  });
});
