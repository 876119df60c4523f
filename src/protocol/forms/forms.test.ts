import assert from 'node:assert/strict';
import { type DataSelectorSpec, dataSelectorProblem, dataSelectorTextProblem } from './data-selector.ts';
import { formProblem, formTextProblem, serializerChangeProblem, type TopicForm } from './topic-form.ts';

describe('data selectors that are stored', () => {
  const right: DataSelectorSpec[] = [
    'none',
    'all',
    { offset: 0, length: 4096 },
    { offset: 0, length: 8, count: 3, stride: 8 },
    [],
    [{ offset: 5, length: 0 }],
    {},
    { rules: [], otherwise: 'all' },
    { rules: [{ select: 'all' }] },
    {
      rules: [{ when: { 'a.b': null, kind: ['hot', 1, true], t: { min: 2 } }, size: { max: 9 }, select: [] }],
    },
    { type: 'custom', name: 'mine' },
    { type: 'module', module: 'acme-forms', options: [1] },
  ];

  it('are taken as they are', () => {
    for (const spec of right) {
      assert.equal(dataSelectorProblem(spec), null, JSON.stringify(spec));
      assert.equal(dataSelectorTextProblem(JSON.stringify(spec)), null);
    }
    for (const text of ['', ' ']) assert.equal(dataSelectorTextProblem(text), null);
  });

  it('are refused with what is wrong, and where', () => {
    const wrong: [spec: unknown, problem: RegExp][] = [
      [null, /^null is no data selector/],
      [7, /^7 is no data selector/],
      ['most', /^the selector is "most"/],
      [[{ offset: 0, length: 1 }, 'all'], /^the selector\[1\] is "all"/],
      [{ offset: 0 }, /^the selector is \{"offset":0\}: whole numbers/],
      [{ offset: -1, length: 1 }, /whole numbers/],
      [{ offset: 0.5, length: 1 }, /whole numbers/],
      [{ offset: 0, length: 4, count: 2, stride: 3 }, /a stride of at least the length/],
      [{ offset: 0, length: 4, count: 0 }, /a count of at least 1/],
      [{ offset: 0, length: 4, step: 2 }, /the selector has "step"/],
      [{ rule: [] }, /the selector has "rule": rules and otherwise/],
      [{ rules: {} }, /rules is no list/],
      [{ rules: ['all'] }, /rules\[0\] is no object/],
      [{ rules: [{ select: 'all' }, {}] }, /rules\[1\] has no select/],
      [{ rules: [{ select: 'all', whn: {} }] }, /rules\[0\] has "whn"/],
      [{ rules: [{ when: [], select: 'all' }] }, /rules\[0\]\.when is no object/],
      [{ rules: [{ when: { t: { least: 1 } }, select: 'all' }] }, /rules\[0\]\.when\["t"\] has "least"/],
      [{ rules: [{ when: { t: { min: '1' } }, select: 'all' }] }, /limits that are no numbers/],
      [{ rules: [{ when: { t: [{}] }, select: 'all' }] }, /a list of something else than values/],
      [{ rules: [{ size: 5, select: 'all' }] }, /rules\[0\]\.size is no object/],
      [{ rules: [{ select: { offset: 0 } }] }, /rules\[0\]\.select is/],
      [{ otherwise: 'some' }, /otherwise is "some"/],
      [{ type: 'custom' }, /dataSelector of type custom needs "name"/],
      [{ type: 'module', module: '' }, /dataSelector of type module needs "module"/],
      [{ type: 'all' }, /"all" is no type/],
    ];
    for (const [spec, problem] of wrong) {
      assert.match(dataSelectorProblem(spec) ?? 'nothing', problem, JSON.stringify(spec));
      assert.notEqual(dataSelectorTextProblem(JSON.stringify(spec)), null);
    }
    assert.match(dataSelectorTextProblem('{"rules": [') ?? '', /^it is no JSON/);
  });
});

describe('forms of topics that are stored', () => {
  it('may name code, and bring none', () => {
    const parts: (keyof TopicForm)[] = ['validator', 'serializer', 'partitionSelector'];
    for (const part of parts) {
      assert.equal(formProblem(part, { type: 'custom', name: 'mine' }), null);
      assert.equal(formProblem(part, { type: 'module', module: './forms.mjs', options: {} }), null);
      assert.match(formProblem(part, { type: 'module' }) ?? '', /of type module needs "module" \(string\)/);
      assert.match(
        formProblem(part, { type: 'code' }) ?? '',
        /give an object with a type: .*custom, module$/,
      );
      assert.match(formTextProblem(part, 'json') ?? '', /^it is no JSON/);
      assert.equal(formTextProblem(part, ''), null);
    }
    assert.match(formProblem('serializer', { type: 'avro', schemas: [] }) ?? '', /needs "schemas" \(list\)/);
    const schemas = new Array(256).fill('int');
    assert.match(formProblem('serializer', { type: 'avro', schemas }) ?? '', /256 schemas, 255 at most/);
    assert.equal(formProblem('serializer', { type: 'avro', schemas: schemas.slice(1) }), null);
  });

  it('keep the versions of a schema, in their order', () => {
    const avro = (...schemas: string[]) => ` ${JSON.stringify({ type: 'avro', schemas })}`;
    const changes: [before: string, after: string][] = [
      ['', avro('int', 'long')],
      ['{"type":"json"}', avro('int')],
      [avro('int'), avro('int')],
      [avro('int'), avro('int', 'long', 'double')],
      [avro('int', 'long'), ''],
      ['{"type":"json"}', '{"type":"msgpack"}'],
    ];
    for (const [before, after] of changes) assert.equal(serializerChangeProblem(before, after), null);
    const lost = [avro('int'), avro('int', 'double'), avro('long', 'int'), '{"type":"json"}'];
    for (const after of lost)
      assert.match(serializerChangeProblem(avro('int', 'long'), after) ?? '', /^it has 2 versions/);
  });
});
