import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { areAllCordoned, isCordoned } from './cordoned.ts';
import { ConfigurationError } from './errors.ts';
import { type ConfigInput, loadConfig } from './load.ts';
import { TopicConfig } from './topic-config.ts';

function input(partial: Partial<ConfigInput> & { text?: string } = {}): ConfigInput {
  const { text, ...rest } = partial;
  return {
    environment: {},
    overrides: [],
    host: { isRoot: false, homeDirectory: '/home/ada' },
    ...(text === undefined ? {} : { file: { path: 'kafabric.properties', text } }),
    ...rest,
  };
}

function problemsOf(partial: Parameters<typeof input>[0]): string[] {
  try {
    loadConfig(input(partial));
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

describe('loadConfig', () => {
  it('starts without any setting, on loopback, in the user’s data directory', () => {
    const config = loadConfig(input());
    assert.deepEqual(config.resolved.listeners, [
      { name: 'PLAINTEXT', protocol: 'PLAINTEXT', host: '127.0.0.1', port: 9092 },
    ]);
    assert.deepEqual(config.resolved.logDirs, ['/home/ada/.local/share/kafabric']);
    assert.equal(config.entry('log.dir')?.text, '/home/ada/.local/share/kafabric');
    assert.equal(config.get('message.max.bytes'), 104857600);
    assert.equal(config.get('log.flush.interval.ms'), null);
    assert.deepEqual(config.resolved.warnings, []);
  });

  it('cordons only directories that there are', () => {
    const cordoned = (value: string) =>
      loadConfig(input({ overrides: ['log.dirs=/a,/b', `cordoned.log.dirs=${value}`] }));
    assert.ok(isCordoned(cordoned('/a'), '/a') && !isCordoned(cordoned('/a'), '/b'));
    assert.ok(!areAllCordoned(cordoned('/a')));
    for (const all of ['*', '/a,/b']) assert.ok(areAllCordoned(cordoned(all)));
    assert.ok(!areAllCordoned(cordoned('')));
    assert.throws(() => cordoned('/c'), /cordoned\.log\.dirs.*not in log\.dirs: \/c/s);
  });

  it('honours XDG_DATA_HOME and root’s own place', () => {
    assert.deepEqual(loadConfig(input({ environment: { XDG_DATA_HOME: '/data' } })).resolved.logDirs, [
      '/data/kafabric',
    ]);
    const root = loadConfig(input({ host: { isRoot: true, homeDirectory: '/root' } }));
    assert.deepEqual(root.resolved.logDirs, ['/var/lib/kafabric']);
  });

  it('lets overrides win over the environment, the environment over the file', () => {
    const text = '# comment\nnum.partitions = 2\nlog.retention.hours: 1\nlog.dirs=/a,\\\n  /b\n';
    const environment = {
      KAFKA_NUM_PARTITIONS: '3',
      KAFABRIC_NUM_PARTITIONS: '4',
      KAFKA_HEAP_OPTS: '-Xmx1g',
    };
    const fromFile = loadConfig(input({ text }));
    assert.equal(fromFile.get('num.partitions'), 2);
    assert.equal(fromFile.entry('num.partitions')?.origin, 'kafabric.properties:2');
    assert.deepEqual(fromFile.resolved.logDirs, ['/a', '/b']);
    assert.equal(
      loadConfig(input({ text, environment: { KAFKA_NUM_PARTITIONS: '3' } })).get('num.partitions'),
      3,
    );
    assert.equal(loadConfig(input({ text, environment })).get('num.partitions'), 4);
    const config = loadConfig(input({ text, environment, overrides: ['num.partitions=5'] }));
    assert.equal(config.get('num.partitions'), 5);
    assert.deepEqual(
      config.settingsOf('num.partitions').map(({ origin, text: value }) => `${origin} ${value}`),
      ['--override 5', 'KAFABRIC_NUM_PARTITIONS 4', 'KAFKA_NUM_PARTITIONS 3', 'kafabric.properties:2 2'],
    );
  });

  it('reads where metrics are served, and says what it expects there', () => {
    const at = (value: string) =>
      loadConfig(input({ overrides: [`metrics.listener=${value}`] })).resolved.metricsListener;
    assert.deepEqual(loadConfig(input()).resolved.metricsListener, { host: '127.0.0.1', port: 9464 });
    assert.deepEqual(at('http://[::1]:0/'), { host: '::1', port: 0 });
    assert.deepEqual(at('http://metrics.example'), { host: 'metrics.example', port: 80 });
    assert.equal(at(''), null);
    for (const value of [
      '127.0.0.1:9464',
      'http://',
      'http://host:70000',
      'http://host:9464/metrics',
      '9464',
    ])
      assert.deepEqual(problemsOf({ overrides: [`metrics.listener=${value}`] }), [
        `metrics.listener=${value} (--override): expected http://host:port, as in http://127.0.0.1:9464, or nothing`,
      ]);
    assert.deepEqual(problemsOf({ overrides: ['metrics.listener=https://host:9464'] }), [
      'metrics.listener=https://host:9464 (--override): only http is served: expected http://host:9464, or nothing',
    ]);
  });

  it('knows the keys of Kafka that have no effect one by one', () => {
    const { warnings } = loadConfig(
      input({ text: 'share.coordinator.threads=1\nsasl.of.a.plugin=x\n' }),
    ).resolved;
    for (const key of ['share.coordinator.threads', 'sasl.of.a.plugin'])
      assert.ok(warnings.some((warning) => warning.startsWith(`${key} (`)));
    assert.deepEqual(
      problemsOf({ text: 'group.share.sesion.timeout.ms=50000\nshare.coordinator.thread=1\n' }),
      [
        'group.share.sesion.timeout.ms=50000 (kafabric.properties:1): unknown configuration key; did you mean group.share.session.timeout.ms?',
        'share.coordinator.thread=1 (kafabric.properties:2): unknown configuration key',
      ],
    );
  });

  it('accepts keys of former versions of Kafka, and those of topics, whose names for all topics it tells', () => {
    const text =
      'zookeeper.connect=here:2181\nport=9092\nfile.delete.delay.ms=1000\nfollower.replication.throttled.replicas=*\n';
    const { warnings } = loadConfig(input({ text })).resolved;
    assert.deepEqual(
      warnings.map((warning) => warning.replace(/ \(.*?\)/, '')),
      [
        'zookeeper.connect has no effect: it is a key of Apache Kafka that this version does not use',
        'port has no effect: it is a key of Apache Kafka that this version does not use',
        'file.delete.delay.ms has no effect: it is a key of topics; for all topics it is log.segment.delete.delay.ms',
        'follower.replication.throttled.replicas has no effect: it is a key of topics',
      ],
    );
  });

  it('reports everything that is wrong at once, with the value, what is allowed, and the closest key', () => {
    const problems = problemsOf({
      text: 'num.partitons=3\nnum.partitions=0\n',
      environment: { KAFABRIC_COMPRESSION_TYPE: 'lzma', KAFABRIC_COMPRESSION_GZIP_LEVEL: '0' },
      overrides: ['log.segment.bytes=lots', 'nonsense', 'auto.create.topics.enable=yes', 'zzzzzz=1'],
    });
    assert.deepEqual(problems, [
      'nonsense (--override): expected key=value',
      'num.partitons=3 (kafabric.properties:1): unknown configuration key; did you mean num.partitions?',
      'num.partitions=0 (kafabric.properties:2): Value must be at least 1 (allowed: a whole number of at least 1; default 1)',
      'compression.type=lzma (KAFABRIC_COMPRESSION_TYPE): String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer (allowed: one of uncompressed, zstd, lz4, snappy, gzip, producer; default producer)',
      'compression.gzip.level=0 (KAFABRIC_COMPRESSION_GZIP_LEVEL): Value must be between 1 and 9 or equal to -1 (allowed: a whole number from 1 to 9, or -1; default -1)',
      'log.segment.bytes=lots (--override): Not a number of type INT (allowed: a whole number of at least 1048576; default 1073741824)',
      'auto.create.topics.enable=yes (--override): Expected value to be either true or false (allowed: true or false; default true)',
      'zzzzzz=1 (--override): unknown configuration key',
    ]);
  });

  it('accepts Kafka’s own keys that mean nothing here, and says so', () => {
    const config = loadConfig(
      input({
        text: 'controller.quorum.voters=1@localhost:9093\nremote.log.reader.threads=2',
        environment: { KAFABRIC_PORT: 'tcp://10.0.0.1:9092', KAFABRIC_CONFIG: 'x' },
        reservedVariables: ['KAFABRIC_CONFIG'],
      }),
    );
    assert.equal(config.resolved.warnings.length, 3);
    assert.match(
      config.resolved.warnings.join('\n'),
      /KAFABRIC_PORT.*\n.*controller\.quorum\.voters.*no effect/,
    );
  });

  it('takes a KRaft configuration of Kafka as it is', () => {
    const config = loadConfig(
      input({
        text: [
          'process.roles=broker,controller',
          'broker.id=7',
          'listeners=PLAINTEXT://:9092,CONTROLLER://:9093',
          'advertised.listeners=PLAINTEXT://broker.example:19092,CONTROLLER://broker.example:9093',
          'controller.listener.names=CONTROLLER',
        ].join('\n'),
      }),
    );
    assert.equal(config.resolved.nodeId, 7);
    assert.deepEqual(
      config.resolved.listeners.map(({ name }) => name),
      ['PLAINTEXT'],
    );
    assert.deepEqual(config.resolved.advertisedListeners, [
      { name: 'PLAINTEXT', host: 'broker.example', port: 19092 },
    ]);
    assert.match(config.resolved.warnings[0]!, /every interface:9092 can be reached/);
  });

  it('refuses listeners that cannot work', () => {
    const refusal = (text: string) => problemsOf({ text })[0];
    assert.match(refusal('listeners=nonsense')!, /not of the form NAME:\/\/host:port/);
    assert.match(refusal('listeners=PLAINTEXT://h:70000')!, /port 70000/);
    assert.match(
      refusal('listeners=INSIDE://h:9092')!,
      /no security protocol is defined for listener INSIDE/,
    );
    for (const protocol of ['SASL_SSL', 'SASL_PLAINTEXT'])
      assert.match(
        refusal(`listeners=${protocol}://h:9092`)!,
        new RegExp(
          `${protocol} of listener ${protocol} is not served by this version, PLAINTEXT, SSL, DIRECT,`,
        ),
      );
    assert.match(refusal('listeners=PLAINTEXT://h:1,PLAINTEXT://h:2')!, /different name/);
    assert.match(refusal('listeners=')!, /at least one listener/);
    assert.match(
      refusal('advertised.listeners=PLAINTEXT://0.0.0.0:9092')!,
      /clients cannot connect to 0.0.0.0/,
    );
    assert.match(refusal('advertised.listeners=OTHER://h:9092')!, /OTHER is not the name of a listener/);
    assert.match(refusal('authorizer.class.name=org.apache.kafka.Some')!, /must be one of/);
    assert.match(refusal('group.min.session.timeout.ms=9999999')!, /must not be above/);
    assert.match(refusal('log.dirs=/a,/a/')!, /named twice/);
    const mapped = 'listeners=PLAINTEXT://:9092,DIRECT://127.0.0.1:9094\ndirect.mapped.listeners=';
    assert.equal(problemsOf({ text: `${mapped}DIRECT` }).length, 0);
    assert.match(refusal(`${mapped}DIRECT\ndirect.shared.memory.enable=false`)!, /needs direct\.shared/);
    assert.match(refusal(`${mapped}PLAINTEXT`)!, /PLAINTEXT is no listener of protocol DIRECT/);
  });

  it('wants certificates where a listener speaks TLS, and nothing that it would have to pass over', () => {
    const refusal = (text: string) => problemsOf({ text })?.join('\n') ?? '';
    const needed = 'listeners=IN://:9094\nlistener.security.protocol.map=IN:DIRECT_SSL\n';
    assert.match(refusal(needed), /ssl\.keystore\.location.*needs the PEM file/);
    const enough = `${needed}ssl.keystore.location=a.crt,a.key\n`;
    const { listenerTls } = loadConfig(input({ text: enough })).resolved;
    assert.deepEqual(listenerTls, [
      {
        ...{ listeners: ['IN'], keystore: ['a.crt', 'a.key'], keyPassword: '', truststore: null },
        ...{ clientAuth: 'none', allowsVersion12: true },
      },
    ]);
    for (const [line, message] of [
      ['ssl.keystore.type=JKS', /only PEM is read/],
      ['ssl.keystore.key=x', /not both/],
      ['ssl.client.auth=required', /needs ssl\.truststore\.location/],
      ['ssl.enabled.protocols=TLSv1.1,TLSv1.3', /TLSv1\.1 is not spoken/],
      ['ssl.enabled.protocols=TLSv1.2', /name it/],
      ['ssl.cipher.suites=NULL', /must not do without/],
      [
        'listener.name.in.ssl.client.auth=required',
        /^listener\.name\.in\.ssl\.client\.auth=required .*needs ssl/,
      ],
      [
        'listener.name.in.ssl.client.auth=sometimes',
        /^listener\.name\.in\.ssl\.client\.auth=.*must be one of/,
      ],
      ['listener.name.in.ssl.cipher.suites=NULL', /must not do without/],
      ['listener.name.in.sasl.enabled.mechanisms=PLAIN', /must not do without/],
    ] as const)
      assert.match(refusal(`${enough}${line}`), message, line);
    const inline = `${needed}ssl.keystore.certificate.chain=c\nssl.keystore.key=k\nssl.truststore.certificates=t\nssl.client.auth=required`;
    const resolved = loadConfig(input({ text: inline })).resolved;
    assert.deepEqual(resolved.listenerTls[0]?.keystore, { chain: 'c', key: 'k' });
    assert.deepEqual(resolved.warnings, [], 'those who come have to authenticate');
    // Without such a listener they are a Kafka configuration as it is.
    assert.deepEqual(
      loadConfig(input({ text: 'ssl.keystore.type=JKS\nssl.cipher.suites=NULL' })).resolved.listenerTls,
      [],
    );
  });

  it('repeats no secret where it says what is wrong', () => {
    const tls =
      'listeners=IN://127.0.0.1:9093\nlistener.security.protocol.map=IN:SSL\nssl.keystore.location=a.pem';
    const jaas = 'listener.name.in.sasl.jaas.config=Plain required password="open sesame";';
    const known = problemsOf({ text: `${tls}\n${jaas}` });
    const misspelled = problemsOf({ overrides: ['payload.stores.secert=open sesame'] });
    for (const problems of [known, misspelled]) {
      assert.equal(problems.length, 1);
      assert.doesNotMatch(problems[0]!, /sesame/);
    }
    assert.match(misspelled[0]!, /did you mean payload\.stores\.secret\?/);
  });

  it('has TLS settings of one listener in place of those of all', () => {
    const text = [
      'listeners=SSL://:9093,INNER://:9094,OUTER://:9095,PLAINTEXT://127.0.0.1:9092',
      'listener.security.protocol.map=SSL:SSL,INNER:SSL,OUTER:DIRECT_SSL,PLAINTEXT:PLAINTEXT',
      'ssl.keystore.location=all.pem',
      'ssl.truststore.location=ca.pem',
      'listener.name.outer.ssl.keystore.location=outer.pem',
      'listener.name.Outer.ssl.client.auth=required',
      'listener.name.plaintext.ssl.client.auth=required',
      'listener.name.away.ssl.key.password=x',
    ].join('\n');
    const { listenerTls, warnings } = loadConfig(input({ text })).resolved;
    assert.deepEqual(
      listenerTls.map(({ listeners, keystore, truststore, clientAuth }) => [
        ...[listeners, keystore, truststore, clientAuth],
      ]),
      [
        [['SSL', 'INNER'], ['all.pem'], { file: 'ca.pem' }, 'none'],
        [['OUTER'], ['outer.pem'], { file: 'ca.pem' }, 'required'],
      ],
    );
    assert.deepEqual(
      warnings.map((warning) => warning.split(' ').slice(0, 2).join(' ')),
      [
        'listener.name.plaintext.ssl.client.auth has',
        'listener.name.away.ssl.key.password has',
        'listener SSL',
        'listener INNER',
      ],
    );
    const environment = { KAFKA_LISTENER_NAME_DIRECT_SSL_SSL_CLIENT_AUTH: 'required' };
    const config = loadConfig(
      input({
        text: 'listeners=SSL://:9093,DIRECT_SSL://:9095\nssl.keystore.location=a\nssl.truststore.location=b',
        environment,
      }),
    );
    assert.deepEqual(
      config.resolved.listenerTls.map(({ listeners, clientAuth }) => [...listeners, clientAuth]),
      [
        ['SSL', 'none'],
        ['DIRECT_SSL', 'required'],
      ],
    );
    assert.deepEqual(
      config.listenerEntries().map(({ definition, text, origin }) => [definition.name, text, origin]),
      [['listener.name.direct_ssl.ssl.client.auth', 'required', Object.keys(environment)[0]]],
    );
    // What is wrong for all is said once, and what is wrong with one's own by its name.
    const wrong = `${text}\nssl.keystore.type=JKS\nlistener.name.inner.ssl.enabled.protocols=TLSv1.2`;
    assert.deepEqual(
      problemsOf({ text: wrong })?.map((problem) => problem.split('=')[0]),
      ['ssl.keystore.type', 'listener.name.inner.ssl.enabled.protocols'],
    );
  });

  it('understands IPv6 and mapped listener names', () => {
    const config = loadConfig(
      input({
        text: 'listeners=in://[::1]:0\nlistener.security.protocol.map=IN:PLAINTEXT',
      }),
    );
    assert.deepEqual(config.resolved.listeners, [
      { name: 'IN', protocol: 'PLAINTEXT', host: '::1', port: 0 },
    ]);
  });
});

describe('dynamic and topic configuration', () => {
  it('puts broker over cluster default over static, and keeps the others visible', () => {
    const base = loadConfig(input({ text: 'log.segment.bytes=2000000' }));
    const dynamic = base.withDynamic(
      new Map([['log.segment.bytes', '3000000']]),
      new Map([['log.segment.bytes', '4000000']]),
    );
    assert.equal(dynamic.get('log.segment.bytes'), 4000000);
    assert.deepEqual(
      dynamic.settingsOf('log.segment.bytes').map(({ source }) => source),
      ['dynamic-broker', 'dynamic-default', 'file'],
    );
    assert.equal(dynamic.withDynamic(new Map(), new Map()).get('log.segment.bytes'), 2000000);
  });

  it('passes over values that Kafka allowed once or that cannot change at run time', () => {
    const base = loadConfig(input());
    const values = new Map([
      ['listeners', 'PLAINTEXT://other:1'],
      ['log.segment.bytes', '14'],
      ['some.plugin.key', 'x'],
    ]);
    const dynamic = base.withDynamic(new Map(), values);
    assert.deepEqual(dynamic.get('listeners'), ['PLAINTEXT://127.0.0.1:9092']);
    assert.equal(dynamic.get('log.segment.bytes'), 1073741824);
    assert.equal(
      new TopicConfig(dynamic, new Map([['segment.bytes', '14']])).get('segment.bytes'),
      1073741824,
    );
  });

  it('takes topic values from the topic, then from the first broker synonym with a value', () => {
    const base = loadConfig(input({ text: 'log.retention.hours=2' }));
    assert.equal(new TopicConfig(base).get('retention.ms'), 7_200_000);
    const minutes = base.withDynamic(new Map([['log.retention.ms', '5']]), new Map());
    assert.equal(new TopicConfig(minutes).get('retention.ms'), 5);
    assert.equal(new TopicConfig(minutes, new Map([['retention.ms', '-1']])).get('retention.ms'), -1);
    assert.equal(
      new TopicConfig(loadConfig(input({ text: 'log.retention.hours=-1' }))).get('retention.ms'),
      -1,
    );
    assert.deepEqual(
      new TopicConfig(base, new Map([['cleanup.policy', 'compact,delete']])).get('cleanup.policy'),
      ['compact', 'delete'],
    );
    assert.equal(new TopicConfig(base).text('flush.ms'), '9223372036854775807');
    assert.equal(new TopicConfig(base).text('nope'), null);
  });

  it('refuses an empty list where one element is needed', () => {
    const [problem] = problemsOf({ text: 'group.consumer.assignors=' });
    assert.match(problem!, /'group.consumer.assignors' must not be empty/);
  });
});
