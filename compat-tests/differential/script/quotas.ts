import { chapter } from '../case.ts';

const ENTITY_ORDER = {
  fields: ['errorMessage'],
  because: 'Kafka writes an entity as Java shows a map',
} as const;

type Entity = [type: string, name: string | null][];
type Ops = [key: string, value: number | null][];
const quota = (entity: Entity, ops: Ops) => ({
  entity: entity.map(([entityType, entityName]) => ({ entityType, entityName })),
  ops: ops.map(([key, value]) => ({ key, value: value ?? 0, remove: value === null })),
});
const quotasOf = (entity: Entity, ops: Ops, more: object = {}) => ({
  entries: [quota(entity, ops)],
  ...more,
});
const filter = (components: [type: string, matchType: number, match: string | null][], strict = false) => ({
  components: components.map(([entityType, matchType, match]) => ({ entityType, matchType, match })),
  strict,
});

export const quotas = chapter('client quotas', (call) => {
  call('DescribeClientQuotas', 'none yet', filter([]));
  call(
    'AlterClientQuotas',
    'of a user',
    quotasOf(
      [['user', 'u$v']],
      [
        ['producer_byte_rate', 1000000],
        ['consumer_byte_rate', 2000000],
      ],
    ),
  );
  call(
    'AlterClientQuotas',
    'of a client id',
    quotasOf([['client-id', 'c$v']], [['request_percentage', 12.5]]),
  );
  call(
    'AlterClientQuotas',
    'of both',
    quotasOf(
      [
        ['user', 'u$v'],
        ['client-id', 'c$v'],
      ],
      [['controller_mutation_rate', 3.5]],
    ),
  );
  call(
    'AlterClientQuotas',
    'of users by default',
    quotasOf([['user', null]], [['producer_byte_rate', 5000000]]),
  );
  call(
    'AlterClientQuotas',
    'of a user and client ids by default',
    quotasOf(
      [
        ['user', 'u$v'],
        ['client-id', null],
      ],
      [['producer_byte_rate', 6000000]],
    ),
  );
  call(
    'AlterClientQuotas',
    'of an address',
    quotasOf([['ip', '10.0.0.$v']], [['connection_creation_rate', 100]]),
  );
  call(
    'AlterClientQuotas',
    'of addresses by default',
    quotasOf([['ip', null]], [['connection_creation_rate', 1000]]),
  );
  call(
    'AlterClientQuotas',
    'of an address that is none',
    quotasOf([['ip', 'not an address']], [['connection_creation_rate', 100]]),
  );
  call(
    'AlterClientQuotas',
    'of an address and a user',
    quotasOf(
      [
        ['ip', '10.0.0.1'],
        ['user', 'x'],
      ],
      [['connection_creation_rate', 100]],
    ),
  );
  call('AlterClientQuotas', 'of nobody', quotasOf([], [['producer_byte_rate', 1000000]]));
  call(
    'AlterClientQuotas',
    'of something else',
    quotasOf([['planet', 'earth']], [['producer_byte_rate', 1000000]]),
  );
  call(
    'AlterClientQuotas',
    'of a user without a name',
    quotasOf([['user', '']], [['producer_byte_rate', 1000000]]),
  );
  call('AlterClientQuotas', 'an unknown key', quotasOf([['user', 'u$v']], [['no_such_rate', 1]]));
  call(
    'AlterClientQuotas',
    "an address's key for a user",
    quotasOf([['user', 'u$v']], [['connection_creation_rate', 1]]),
  );
  call(
    'AlterClientQuotas',
    "a user's key for an address",
    quotasOf([['ip', '10.0.0.1']], [['producer_byte_rate', 1]]),
  );
  call('AlterClientQuotas', 'zero', quotasOf([['user', 'u$v']], [['producer_byte_rate', 0]]));
  call('AlterClientQuotas', 'a negative rate', quotasOf([['user', 'u$v']], [['producer_byte_rate', -5]]));
  call(
    'AlterClientQuotas',
    'a fraction of a byte',
    quotasOf([['user', 'u$v']], [['producer_byte_rate', 1.5]]),
  );
  call('AlterClientQuotas', 'too much', quotasOf([['user', 'u$v']], [['producer_byte_rate', 1e30]]));
  call(
    'AlterClientQuotas',
    'too many connections',
    quotasOf([['ip', '10.0.0.1']], [['connection_creation_rate', 3000000000]]),
  );
  call(
    'AlterClientQuotas',
    'a key twice',
    quotasOf(
      [['user', 'u$v']],
      [
        ['producer_byte_rate', 1],
        ['producer_byte_rate', 2],
      ],
    ),
    { except: ENTITY_ORDER },
  );
  call(
    'AlterClientQuotas',
    'a user twice',
    {
      entries: [
        quota([['user', 'twice']], [['producer_byte_rate', 7]]),
        quota([['user', 'twice']], [['producer_byte_rate', 8]]),
      ],
    },
    { differs: 'Kafka answers for both with one entry' },
  );
  call(
    'AlterClientQuotas',
    'validate only',
    quotasOf([['user', 'u$v']], [['producer_byte_rate', 77]], { validateOnly: true }),
  );
  call(
    'AlterClientQuotas',
    'what is not set, removed',
    quotasOf([['user', 'nobody']], [['producer_byte_rate', null]]),
  );
  call('AlterClientQuotas', 'good and bad together', {
    entries: [
      quota([['user', 'good-$v']], [['producer_byte_rate', 7]]),
      quota([['user', 'bad']], [['producer_byte_rate', -8]]),
    ],
  });
  call('AlterClientQuotas', 'nothing', { entries: [] });
  call('DescribeClientQuotas', 'all', filter([]));
  call('DescribeClientQuotas', 'all, strictly', filter([], true));
  call('DescribeClientQuotas', 'a user', filter([['user', 0, 'u1']]));
  call('DescribeClientQuotas', 'a user alone', filter([['user', 0, 'u1']], true));
  call(
    'DescribeClientQuotas',
    'a user and a client id',
    filter([
      ['user', 0, 'u1'],
      ['client-id', 0, 'c1'],
    ]),
  );
  call('DescribeClientQuotas', 'users by default', filter([['user', 1, null]]));
  call('DescribeClientQuotas', 'whatever user', filter([['user', 2, null]]));
  call('DescribeClientQuotas', 'whatever address', filter([['ip', 2, null]]));
  call(
    'DescribeClientQuotas',
    'an address and a user',
    filter([
      ['ip', 2, null],
      ['user', 2, null],
    ]),
  );
  call('DescribeClientQuotas', 'something else', filter([['planet', 2, null]]));
  call('DescribeClientQuotas', 'no type', filter([['', 2, null]]));
  call(
    'DescribeClientQuotas',
    'a type twice',
    filter([
      ['user', 2, null],
      ['user', 0, 'x'],
    ]),
  );
  call('DescribeClientQuotas', 'an unknown match', filter([['user', 9, null]]));
  call('DescribeClientQuotas', 'a name and the default', filter([['user', 1, 'x']]));
  call('DescribeClientQuotas', 'exactly nothing', filter([['user', 0, null]]));
  call(
    'AlterClientQuotas',
    'removed',
    quotasOf(
      [['user', 'u$v']],
      [
        ['producer_byte_rate', null],
        ['consumer_byte_rate', null],
      ],
    ),
  );
  call('AlterClientQuotas', 'defaults removed', {
    entries: [
      quota([['user', null]], [['producer_byte_rate', null]]),
      quota([['ip', null]], [['connection_creation_rate', null]]),
    ],
  });
  call('DescribeClientQuotas', 'what is left', filter([]));
});
