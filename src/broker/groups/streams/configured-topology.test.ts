import assert from 'node:assert/strict';
import { ErrorCode } from '../../../protocol/errors.ts';
import { TestTopics } from '../coordinator.fixture.ts';
import { configureTopology } from './configured-topology.ts';
import { type SubtopologyOutline, topologyOf } from './streams.fixture.ts';
import { topologyOf as checkedTopology } from './topology.ts';

function configure(counts: Readonly<Record<string, number>>, ...outlines: SubtopologyOutline[]) {
  return configureTopology(checkedTopology(topologyOf(...outlines)), new TestTopics(counts));
}

/** The number and text of what is wrong. */
function problemOf(counts: Readonly<Record<string, number>>, ...outlines: SubtopologyOutline[]) {
  const { problem } = configure(counts, ...outlines);
  return problem && [problem.status, problem.message];
}

/** A word count: what `0` writes is repartitioned, and counted by `1`. */
const WORDS: SubtopologyOutline[] = [
  { id: '0', sources: ['text'], sinks: ['words'] },
  { id: '1', repartitions: { words: 0 }, changelogs: ['counts'] },
];

describe('the topics of a streams topology', () => {
  it('get as many partitions as what is written to them comes from', () => {
    const { missingTopics, problem, subtopologies } = configure({ text: 5 }, ...WORDS);
    assert.deepEqual(
      missingTopics.map(({ name, numPartitions, replicationFactor }) => [
        name,
        numPartitions,
        replicationFactor,
      ]),
      [
        ['words', 5, -1],
        ['counts', 5, -1],
      ],
    );
    assert.deepEqual([problem?.status, problem?.message], [3, 'Internal topics are missing: words, counts']);
    assert.deepEqual(
      Array.from(subtopologies!.values(), ({ id, taskCount }) => [id, taskCount]),
      [
        ['0', 5],
        ['1', 5],
      ],
    );
    assert.equal(problemOf({ text: 5, words: 5, counts: 5 }, ...WORDS), null);
  });

  it('must exist if they are those of others', () => {
    const sources = ['d', 'c', 'b', 'a'];
    assert.deepEqual(problemOf({}, { id: '0', sources }), [
      1,
      'Source topics a, b, c and 1 additional topics are missing.',
    ]);
  });

  it('must have the right number of partitions', () => {
    assert.deepEqual(problemOf({ text: 5, words: 4 }, ...WORDS), [
      2,
      'Existing topic words has different number of partitions: expected 5, found 4',
    ]);
  });

  it('have the same number of partitions if they are joined', () => {
    const join = { sources: [0, 1], repartitions: [] };
    assert.deepEqual(problemOf({ l: 2, r: 3 }, { id: '0', sources: ['l', 'r'], copartitioned: [join] }), [
      2,
      'Following topics do not have the same number of partitions: [{l=2, r=3}]',
    ]);
    const joined = (count: number): SubtopologyOutline[] => [
      { id: '0', sources: ['text'], sinks: ['again'] },
      {
        id: '1',
        sources: ['other'],
        repartitions: { again: count },
        copartitioned: [{ sources: [0], repartitions: [0] }],
      },
    ];
    const { missingTopics } = configure({ text: 5, other: 3 }, ...joined(0));
    assert.deepEqual(
      missingTopics.map(({ numPartitions }) => numPartitions),
      [3],
    );
    assert.deepEqual(problemOf({ text: 5, other: 3 }, ...joined(4)), [
      2,
      "Number of partitions [4] of repartition topic [again] doesn't match number of partitions [3] of the source topic.",
    ]);
    const both: SubtopologyOutline[] = [
      { id: '0', sources: ['text'], sinks: ['a'] },
      { id: '1', sources: ['other'], sinks: ['b'] },
      { id: '2', repartitions: { a: 0, b: 0 }, copartitioned: [{ sources: [], repartitions: [0, 1] }] },
    ];
    assert.deepEqual(
      configure({ text: 5, other: 3 }, ...both).missingTopics.map(({ numPartitions }) => numPartitions),
      [5, 5],
    );
  });

  it('get their numbers of partitions in whichever order the subtopologies come', () => {
    // Each writes what the one before it reads; the last reads what is given.
    const chain = Array.from(
      { length: 50 },
      (_, i): SubtopologyOutline => ({
        id: String(i).padStart(2, '0'),
        ...(i === 49 ? { sources: ['text'] } : { repartitions: { [`r${i + 1}`]: 0 } }),
        sinks: [`r${i}`],
      }),
    );
    const { missingTopics } = configure({ text: 7 }, ...chain, { id: 'end', repartitions: { r0: 0 } });
    assert.deepEqual(new Set(missingTopics.map(({ numPartitions }) => numPartitions)), new Set([7]));
    assert.equal(missingTopics.length, 50);
    // What is known of the inputs when a subtopology has its turn counts: here not yet the ten partitions.
    const early: SubtopologyOutline[] = [
      { id: '0', sources: ['text'], repartitions: { wide: 0 }, sinks: ['narrow'] },
      { id: '1', sources: ['big'], sinks: ['wide'] },
      { id: '2', repartitions: { narrow: 0 } },
    ];
    const counts = new Map(
      configure({ text: 2, big: 10 }, ...early).missingTopics.map(({ name, numPartitions }) => [
        name,
        numPartitions,
      ]),
    );
    assert.deepEqual([counts.get('wide'), counts.get('narrow')], [10, 2]);
  });

  it('belong to no more subtopologies and tasks than a broker can assign', () => {
    const invalid = { code: ErrorCode.STREAMS_INVALID_TOPOLOGY };
    const readers = (count: number) =>
      Array.from({ length: count }, (_, i): SubtopologyOutline => ({ id: String(i), sources: ['text'] }));
    assert.equal(problemOf({ text: 100 }, ...readers(1_000)), null);
    assert.throws(() => configure({ text: 1 }, ...readers(1_001)), invalid);
    assert.throws(() => configure({ text: 101 }, ...readers(1_000)), invalid);
  });

  it('are refused if no topics would suit', () => {
    const invalid = { code: ErrorCode.STREAMS_INVALID_TOPOLOGY };
    assert.throws(() => configure({ text: 1 }, { id: '0', repartitions: { words: 0 } }), invalid);
    assert.throws(
      () =>
        configure(
          {},
          { id: '0', repartitions: { a: 0 }, sinks: ['b'] },
          { id: '1', repartitions: { b: 0 }, sinks: ['a'] },
        ),
      invalid,
    );
    assert.throws(() => configure({}, { id: '0' }), invalid);
    assert.throws(
      () => configure({ text: 1 }, { id: '0', sources: ['text'] }, { id: '0', sources: ['text'] }),
      invalid,
    );
    const copartitioned = [{ sources: [1], repartitions: [] }];
    assert.throws(() => configure({ text: 1 }, { id: '0', sources: ['text'], copartitioned }), invalid);
  });
});
