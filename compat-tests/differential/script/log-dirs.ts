import { type Answers, type Body, type CaseOptions, chapter } from '../case.ts';
import { alter, batch, CREATED, create, describeConfigs, Op, produce, ResourceType } from './build.ts';

type Moves = [directory: number | string, topic: string, ...partitions: number[]][];

const SPACE = ['totalBytes', 'usableBytes'];
const SPACE_CHANGES = { fields: SPACE, because: 'others use the file system meanwhile' } as const;

const to =
  (...moves: Moves) =>
  ({ logDir }: Answers) => ({
    dirs: moves.map(([directory, name, ...partitions]) => ({
      path: typeof directory === 'number' ? logDir(directory) : directory,
      topics: [{ name, partitions }],
    })),
  });

const of = (topic: string, ...partitions: number[]) => ({ topics: [{ topic, partitions }] });
const cordon =
  (...directories: (number | string)[]) =>
  ({ logDir }: Answers) =>
    alter(ResourceType.BROKER, '1', [
      [
        'cordoned.log.dirs',
        Op.SET,
        directories.map((each) => (typeof each === 'number' ? logDir(each) : each)).join(','),
      ],
    ]);

interface Described {
  results: { isCordoned: boolean; topics: { partitions: { isFutureKey: boolean }[] }[] }[];
}

/** Nothing is on its way to another directory. */
const isSettled = (answer: Body) =>
  (answer as unknown as Described).results.every(({ topics }) =>
    topics.every(({ partitions }) => partitions.every(({ isFutureKey }) => !isFutureKey)),
  );

const areCordoned = (count: number) => (answer: Body) =>
  (answer as unknown as Described).results.filter(({ isCordoned }) => isCordoned).length === count;

const KEYS = ['cordoned.log.dirs', 'num.replica.alter.log.dirs.threads'];
const THROTTLE = 'replica.alter.log.dirs.io.max.bytes.per.second';
const long = (length: number) => 'x'.repeat(length);

/** The brokers of this chapter have three data directories. */
export const logDirs = chapter('moves between data directories', (call) => {
  const move = (name: string, ...moves: Moves) => call('AlterReplicaLogDirs', name, to(...moves));
  const described = (name: string, topic = 'dirs') =>
    call('DescribeLogDirs', name, of(topic, 0, 1), { except: SPACE_CHANGES, until: isSettled });

  call('AlterReplicaLogDirs', 'of nothing', { dirs: [] });
  call('AlterReplicaLogDirs', 'of no topics', ({ logDir }) => ({ dirs: [{ path: logDir(1), topics: [] }] }));
  move('of no partitions', [1, 'dirs']);
  move('of names that no topic has', [1, '', 0], [1, 'no topic!', 0], [1, '..', 0]);
  move('of a partition below 0', [1, 'dirs', -1]);
  move('of the metadata', [1, '__cluster_metadata', 0]);
  move('of a topic with a name that is too long', [1, long(214), 0]);
  move('of one with the longest name', [1, long(213), 0]);
  move('of one with more digits', [1, long(213), 10]);
  move('of one with the longest name that there can be', [1, long(249), 0]);
  move('of a name that is too long, to nowhere', ['/nowhere', long(214), 0]);
  move('to nowhere', ['/nowhere', 'dirs', 0]);
  move('to no path', ['', 'dirs', 0]);
  move('to a path that is not absolute', ['data', 'dirs', 0]);
  call('AlterReplicaLogDirs', 'to a directory that is written otherwise', ({ logDir }) => ({
    dirs: [{ path: `${logDir(1)}/`, topics: [{ name: 'dirs', partitions: [0] }] }],
  }));

  // Wished for before there are such partitions, so that both brokers put them there.
  move('of partitions that are to come', [1, 'dirs', 0], [2, 'dirs', 1], [0, 'empty', 0]);
  call('CreateTopics', 'where it was wished for', create('dirs', 2), { except: CREATED, versions: [5, 5] });
  call('CreateTopics', 'of one that stays empty', create('empty'), { except: CREATED, versions: [5, 5] });
  described('where they were wished for');
  described('of an empty one', 'empty');
  call('Produce', 'to one of them', produce('dirs', '', batch(['a', 'b', 'c'])), { versions: [9, 9] });
  described('with records');

  move('to where it is', [1, 'dirs', 0]);
  move('to where it is, twice', [1, 'dirs', 0, 0]);
  move('of one that there is not among others', [1, 'dirs', 0, 5], [2, 'dirs', 1]);
  described('as before');
  move('to another directory', [0, 'dirs', 0]);
  described('in another directory');
  move('of two to each other’s', [2, 'dirs', 0], [0, 'dirs', 1]);
  described('in each other’s');
  move('of an empty one', [1, 'empty', 0]);
  described('of an empty one that was moved', 'empty');
  move('to two directories: the last counts', [0, 'dirs', 0], [1, 'dirs', 0]);
  described('in the last');
  move('to one directory and nowhere', [0, 'dirs', 1], ['/nowhere', 'dirs', 1], ['/nowhere', 'other', 0]);
  described('as before that');
  call('Produce', 'after a move', produce('dirs', '', batch(['d', 'e'])), { versions: [7, 7] });
  described('with more records');
  call('DescribeLogDirs', 'of all topics but by none', { topics: [] }, { except: SPACE_CHANGES });

  const configs = (name: string, keys: string[], options: CaseOptions = {}) =>
    call('DescribeConfigs', name, describeConfigs(ResourceType.BROKER, '1', keys), {
      except: { fields: ['documentation'], because: 'it is in other words' },
      ...options,
    });
  const dynamic = { versions: [1, 1] as const };
  configs('of moves', KEYS);
  configs('of moves without a rate', [THROTTLE], { differs: 'Kafka knows a rate only when there is one' });
  call(
    'IncrementalAlterConfigs',
    'a rate',
    alter(ResourceType.BROKER, '1', [[THROTTLE, Op.SET, '1000']]),
    dynamic,
  );
  call(
    'IncrementalAlterConfigs',
    'a rate for all',
    alter(ResourceType.BROKER, '', [[THROTTLE, Op.SET, '0']]),
    dynamic,
  );
  call(
    'IncrementalAlterConfigs',
    'a bad rate',
    alter(ResourceType.BROKER, '1', [[THROTTLE, Op.SET, '-1']]),
    dynamic,
  );
  configs('of moves with a rate', [...KEYS, THROTTLE]);
  call(
    'IncrementalAlterConfigs',
    'no rate',
    alter(ResourceType.BROKER, '1', [[THROTTLE, Op.DELETE, null]]),
    dynamic,
  );
  call(
    'IncrementalAlterConfigs',
    'no rate for all',
    alter(ResourceType.BROKER, '', [[THROTTLE, Op.DELETE, null]]),
    dynamic,
  );
  call(
    'IncrementalAlterConfigs',
    'threads',
    alter(ResourceType.BROKER, '1', [['num.replica.alter.log.dirs.threads', Op.SET, '3']]),
    dynamic,
  );

  const cordoned = (name: string, count: number) =>
    call('DescribeLogDirs', name, of('dirs', 0, 1), {
      except: SPACE_CHANGES,
      until: areCordoned(count),
      versions: [5, 5],
    });
  call('IncrementalAlterConfigs', 'a cordoned directory', cordon(2), dynamic);
  cordoned('with one that is cordoned', 1);
  move('to a cordoned directory', [2, 'dirs', 0]);
  move('to a cordoned directory of one that there is not', [2, 'never', 0]);
  move('of a name that is too long to a cordoned one', [2, long(214), 0]);
  call('IncrementalAlterConfigs', 'one that is none', cordon('/nowhere'), dynamic);
  call('IncrementalAlterConfigs', 'all', cordon('*'), dynamic);
  cordoned('with all cordoned', 3);
  move('to where it is, though cordoned', [1, 'dirs', 0]);
  call('CreateTopics', 'with all cordoned', create('nowhere-to-go'), { except: CREATED, versions: [5, 5] });
  call('CreateTopics', 'with all cordoned, and an assignment', create('somewhere', -1, -1, {}, [[0, [1]]]), {
    except: CREATED,
    versions: [5, 5],
  });
  call(
    'CreatePartitions',
    'with all cordoned',
    { topics: [{ name: 'dirs', count: 3, assignments: null }], timeoutMs: 5_000, validateOnly: false },
    { versions: [3, 3] },
  );
  call(
    'IncrementalAlterConfigs',
    'for all brokers',
    alter(ResourceType.BROKER, '', [['cordoned.log.dirs', Op.SET, '*']]),
    dynamic,
  );
  call(
    'IncrementalAlterConfigs',
    'none',
    alter(ResourceType.BROKER, '1', [['cordoned.log.dirs', Op.DELETE, null]]),
    dynamic,
  );
  cordoned('with none cordoned', 0);
});
