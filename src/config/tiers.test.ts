import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ConfigurationError } from './errors.ts';
import { loadConfig } from './load.ts';

const TIERED = [
  'log.dirs=/logs',
  'log.channel.type=tiered',
  'storage.tiers.types=NVME,HDD',
  'storage.tiers.first.paths=/nvme/a, /nvme/b',
  'storage.tiers.second.paths=/hdd',
];

function load(...overrides: string[]) {
  return loadConfig({ environment: {}, overrides, host: { isRoot: false, homeDirectory: '/home/ada' } });
}

/** What is wrong, one line for each problem. */
function problems(...overrides: string[]): string {
  try {
    load(...overrides);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.message.split('\n').slice(1).join('\n');
  }
  return '';
}

describe('The settings of storage tiers', () => {
  it('change nothing when they are not made', () => {
    assert.deepEqual(load().resolved.tiers, []);
    // As in Pafka: what is there for tiers does not count with another channel type.
    const { tiers, warnings } = load('storage.tiers.types=S3', 'storage.tiers.first.paths=/a').resolved;
    assert.deepEqual(tiers, []);
    assert.match(
      warnings.join(),
      /storage\.tiers\.types, storage\.tiers\.first\.paths: without effect while log\.channel\.type is file/,
    );
  });

  it('name tiers with their paths and sizes', () => {
    assert.deepEqual(load(...TIERED, 'storage.tiers.first.sizes=1000000,-1').resolved.tiers, [
      {
        ordinal: 'first',
        type: 'NVME',
        paths: [
          { path: '/nvme/a', sizeBytes: 1_000_000 },
          { path: '/nvme/b', sizeBytes: -1 },
        ],
      },
      { ordinal: 'second', type: 'HDD', paths: [{ path: '/hdd', sizeBytes: -1 }] },
    ]);
    const same = load(...TIERED, 'storage.tiers.types=SSD,SSD', 'storage.tiers.first.sizes=5,5').resolved
      .tiers;
    assert.deepEqual(
      same.map(({ type, paths }) => [type, paths[0]!.sizeBytes]),
      [
        ['SSD', 5],
        ['SSD', -1],
      ],
    );
  });

  it('have Pafka’s defaults', () => {
    const config = load(...TIERED);
    assert.equal(config.get('storage.migrate.threshold'), 0.5);
    assert.equal(config.get('storage.migrate.threads'), 1);
    assert.equal(load('storage.migrate.threshold=-1').get('storage.migrate.threshold'), -1);
    assert.match(
      problems('storage.migrate.threshold=1.5'),
      /between 0 and 1 or equal to -1 \(allowed: a number from 0 to 1, or -1/,
    );
  });

  it('are refused for what is not built, saying what to use', () => {
    assert.match(problems(...TIERED, 'storage.tiers.types=TAPE,HDD'), /must be one of: PMEM, NVME/);
  });

  it('have all payload in persistent memory as one tier', () => {
    const pmem = ['log.dirs=/logs', 'log.channel.type=pmem', 'storage.tiers.first.paths=/pmem'];
    const { tiers, warnings } = load(...pmem, 'storage.tiers.second.paths=/hdd').resolved;
    assert.deepEqual(tiers, [{ ordinal: 'first', type: 'PMEM', paths: [{ path: '/pmem', sizeBytes: -1 }] }]);
    assert.match(
      warnings.join(),
      /storage\.tiers\.second\.paths: without effect while log\.channel\.type is pmem/,
    );
    assert.match(
      problems('log.channel.type=pmem'),
      /the first tier, of type PMEM, needs at least one directory/,
    );
    assert.deepEqual(
      load(...pmem, 'log.pmem.pool.ratio=0.5').resolved.warnings.join(),
      load().resolved.warnings.join(),
    );
    assert.match(
      load(...TIERED, 'log.pmem.pool.ratio=0.9').resolved.warnings.join(),
      /log\.pmem\.pool\.ratio has no effect/,
    );
  });

  it('name a bucket for the last tier', () => {
    const s3 = [...TIERED.slice(0, -1), 'storage.tiers.types=NVME,S3', 'storage.s3.cache.dir=/cache'];
    const { tiers, s3: found } = load(
      ...s3,
      'storage.s3.bucket=payload',
      'storage.s3.prefix=a/node-1',
    ).resolved;
    assert.deepEqual(tiers[1], {
      ordinal: 'second',
      type: 'S3',
      paths: [{ path: 's3://payload/a/node-1', sizeBytes: -1 }],
    });
    assert.deepEqual(
      [found?.prefix, found?.region, found?.forcePathStyle, found?.cacheDirectory],
      ['a/node-1/', '', false, '/cache'],
    );
    const own = load(
      ...s3,
      'storage.s3.bucket=payload',
      'storage.s3.endpoint=http://localhost:9000',
    ).resolved;
    assert.deepEqual([own.s3?.prefix, own.s3?.region, own.s3?.forcePathStyle], ['', 'us-east-1', true]);
    assert.equal(own.tiers[1]?.paths[0]?.path, 's3://payload');

    assert.match(problems(...s3), /storage\.s3\.bucket=: .*needs the name of a bucket/);
    assert.match(problems(...s3, 'storage.s3.bucket=a/b'), /3 to 63 letters/);
    const bucket = [...s3, 'storage.s3.bucket=payload'];
    assert.match(problems(...bucket, 'storage.tiers.types=S3,NVME'), /cannot be the first tier/);
    assert.match(problems(...bucket, 'storage.tiers.types=NVME,S3,HDD'), /can only be the last tier/);
    assert.match(problems(...bucket, 'storage.tiers.second.paths=/b'), /the tier S3 has no directories/);
    assert.match(problems(...bucket, 'storage.s3.prefix=/a'), /with single slashes between/);
    assert.match(problems(...bucket, 'storage.s3.prefix=a/../b'), /with single slashes between/);
    assert.match(problems(...bucket, 'storage.s3.endpoint=minio:9000'), /a URL such as/);
    assert.match(problems(...bucket, 'storage.s3.cache.dir='), /needs a local directory/);
    assert.match(problems(...bucket, 'storage.s3.cache.dir=/nvme/a/c'), /must not be, or lie in, each other/);
    assert.match(problems(...bucket, 'storage.s3.kms.key.id=k'), /a key is for storage\.s3\.server/);
  });

  it('put into memory only what may be lost, and no more than was said', () => {
    const memory = [...TIERED, 'storage.tiers.types=MEMORY,HDD', 'storage.tiers.first.sizes=1000,2000'];
    assert.match(
      problems(...memory),
      /log\.durability=flush promises that it does not: set log\.durability=os/,
    );
    const os = 'log.durability=os';
    assert.equal(load(...memory, os).resolved.tiers[0]!.type, 'MEMORY');
    assert.match(
      problems(...memory, os, 'storage.tiers.first.sizes=-1'),
      /MEMORY needs a size for each path/,
    );
    assert.match(
      problems(...memory, os, 'storage.tiers.types=HDD,MEMORY', 'storage.tiers.second.sizes=5'),
      /the last tier cannot be MEMORY/,
    );
  });

  it('are refused when they do not fit together', () => {
    assert.match(problems('log.channel.type=tiered'), /storage\.tiers\.types: .*needs the kind of each tier/);
    assert.match(
      problems(...TIERED.slice(0, -1)),
      /storage\.tiers\.second\.paths: the second tier, of type HDD, needs/,
    );
    assert.match(
      problems(...TIERED, 'storage.tiers.third.paths=/c'),
      /storage\.tiers\.types names only 2 tiers/,
    );
    assert.match(problems(...TIERED, 'storage.tiers.first.sizes=1,2,3'), /3 sizes for 2 paths/);
    assert.match(problems(...TIERED, 'storage.tiers.first.sizes=1'), /1 sizes for 2 paths/);
    assert.match(problems(...TIERED, 'storage.tiers.second.sizes=10GB'), /10GB is no number of bytes/);
    assert.match(problems(...TIERED, 'storage.tiers.second.sizes=0'), /0 is no number of bytes/);
    assert.match(
      problems(...TIERED, `storage.tiers.types=${Array(9).fill('SSD').join()}`),
      /at most 8 tiers are possible/,
    );
  });

  it('are refused when a directory is for two things', () => {
    const overlaps = /must not be, or lie in, each other/;
    assert.match(problems(...TIERED, 'storage.tiers.second.paths=/nvme/a'), overlaps);
    assert.match(problems(...TIERED, 'storage.tiers.second.paths=/nvme/a/b'), overlaps);
    assert.match(problems(...TIERED, 'storage.tiers.second.paths=/'), overlaps);
    assert.match(problems(...TIERED, 'storage.tiers.second.paths=/logs/t'), overlaps);
    assert.equal(problems(...TIERED, 'storage.tiers.second.paths=/nvme/ab'), '');
  });
});
