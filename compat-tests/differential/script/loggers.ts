import { chapter } from '../case.ts';
import { alter, describeConfigs, Op, ResourceType, replace } from './build.ts';

const { BROKER_LOGGER } = ResourceType;

export const loggers = chapter('levels of loggers', (call) => {
  call('DescribeConfigs', 'loggers of another broker', describeConfigs(BROKER_LOGGER, '7'));
  call('DescribeConfigs', 'loggers of no broker', describeConfigs(BROKER_LOGGER, ''));
  call('DescribeConfigs', 'a logger', describeConfigs(BROKER_LOGGER, '1', ['root']), {
    except: { fields: ['value'], because: 'the brokers log differently' },
  });
  call('DescribeConfigs', 'a logger that does not exist', describeConfigs(BROKER_LOGGER, '1', ['no.such']));
  for (const [name, operation, value] of [
    ['root', Op.SET, 'WARN'],
    ['root', Op.SET, 'warn'],
    ['root', Op.SET, 'OFF'],
    ['root', Op.SET, null],
    ['root', Op.DELETE, null],
    ['root', Op.APPEND, 'WARN'],
    ['root', Op.SUBTRACT, 'WARN'],
    ['no.such', Op.SET, 'WARN'],
    ['no.such', Op.DELETE, null],
  ] as const)
    call(
      'IncrementalAlterConfigs',
      `logger ${name}, operation ${operation}, ${value}`,
      alter(BROKER_LOGGER, '1', [[name, operation, value]]),
      { versions: [1, 1] },
    );
  for (const broker of ['7', 'x', ''])
    call(
      'IncrementalAlterConfigs',
      `loggers of broker '${broker}'`,
      alter(BROKER_LOGGER, broker, [['root', Op.SET, 'WARN']]),
    );
  call('AlterConfigs', 'loggers, all keys', replace(BROKER_LOGGER, '1', { root: 'WARN' }));
  call('DescribeConfigs', 'a logger that was altered', describeConfigs(BROKER_LOGGER, '1', ['root']));
  call(
    'IncrementalAlterConfigs',
    'a logger, and what cannot be',
    alter(BROKER_LOGGER, '1', [
      ['root', Op.SET, 'ERROR'],
      ['no.such', Op.SET, 'ERROR'],
    ]),
  );
  call('DescribeConfigs', 'a logger that was not altered', describeConfigs(BROKER_LOGGER, '1', ['root']));
});
