// Compares the codecs with bytes that Apache Kafka's own classes wrote (scripts/generate/java).
import assert from 'node:assert/strict';
import { ApiKey, apiName, requestHeaderVersion, responseHeaderVersion } from './api-keys.ts';
import { ErrorCode, type ErrorName, errorInfo } from './errors.ts';
import { readFixture } from './fixtures/read-fixture.ts';
import { allCodecs, requestCodecs } from './generated/index.ts';
import { Reader } from './wire/reader.ts';
import { Writer } from './wire/writer.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Whether a decoded value is what the JSON of Kafka's JsonConverter classes says; the decoded value's type says how to read the JSON. */
function compare(actual: unknown, expected: Json, path: string): void {
  if (typeof actual === 'bigint') {
    assert.equal(actual, BigInt(expected as string), path);
  } else if (typeof actual === 'number') {
    assert.equal(actual, typeof expected === 'string' ? Number(expected) : expected, path);
  } else if (actual instanceof Uint8Array) {
    assert.equal(Buffer.from(actual).toString('base64'), expected, path);
  } else if (Array.isArray(actual)) {
    const items = expected as Json[];
    assert.equal(actual.length, items.length, `${path}.length`);
    actual.forEach((item, index) => {
      compare(item, items[index]!, `${path}[${index}]`);
    });
  } else if (typeof actual === 'object' && actual !== null) {
    const fields = expected as { [key: string]: Json };
    const values = actual as Record<string, unknown>;
    for (const [name, value] of Object.entries(fields)) {
      assert.ok(name in values, `${path}.${name} is missing`);
      compare(values[name], value, `${path}.${name}`);
    }
  } else if (actual === null && isStructOfDefaults(expected)) {
    // A tagged struct with its defaults: Kafka does not write it, and it reads as null.
  } else {
    assert.equal(actual, expected, path);
  }
}

function isStructOfDefaults(value: Json): boolean {
  return (
    typeof value === 'object' && value !== null && Object.values(value).every((field) => Number(field) === -1)
  );
}

/** Fields that the JSON leaves out have their defaults (checked for the message itself, whose defaults are at hand). */
function compareDefaults(actual: object, expected: Json, defaults: object, path: string): void {
  for (const [name, value] of Object.entries(defaults)) {
    if (name in (expected as object)) continue;
    assert.deepEqual((actual as Record<string, unknown>)[name], value, `${path}.${name}`);
  }
}

describe('messages of Apache Kafka', () => {
  const codecs = new Map(allCodecs.map((codec) => [codec.name, codec]));
  const samples = readFixture('messages.jsonl.gz')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [string, number, string, Json]);

  it('are all there, with all versions', () => {
    const expected = new Set(samples.map(([name, version]) => `${name} ${version}`));
    const actual = new Set<string>();
    for (const { name, minVersion, maxVersion } of allCodecs) {
      if (name.startsWith('Direct')) continue; // Kafabric's own
      for (let version = minVersion; version <= maxVersion; version++) actual.add(`${name} ${version}`);
    }
    assert.deepEqual([...actual].sort(), [...expected].sort());
  });

  it('read as Kafka says, and write the same bytes', () => {
    for (const [name, version, base64, expected] of samples) {
      const codec = codecs.get(name)!;
      const path = `${name} ${version}`;
      const bytes = Buffer.from(base64, 'base64');
      const reader = new Reader(bytes);
      const message = codec.read(reader, version);
      assert.equal(reader.remaining, 0, path);
      compare(message, expected, path);
      compareDefaults(message, expected, codec.create(), path);
      const writer = new Writer(1);
      codec.write(writer, message, version);
      assert.equal(Buffer.from(writer.finishBytes()).toString('hex'), bytes.toString('hex'), path);
    }
  });

  it('are refused when cut short', () => {
    const seen = new Set<string>();
    for (const [name, version, base64] of samples) {
      if (seen.has(`${name} ${version}`)) continue;
      seen.add(`${name} ${version}`);
      const bytes = Buffer.from(base64, 'base64');
      for (let end = 0; end < Math.min(bytes.byteLength, 200); end++) {
        assert.throws(() => codecs.get(name)!.read(new Reader(bytes, 0, end), version), {
          name: 'ProtocolError',
        });
      }
    }
  });
});

describe('tables of Apache Kafka', () => {
  const tables = JSON.parse(readFixture('tables.json.gz')) as {
    errors: { name: ErrorName; code: number; message: string; retriable: boolean }[];
    apis: { name: string; key: number; version: number; requestHeader: number; responseHeader: number }[];
  };

  it('have the same errors', () => {
    const own = Object.entries(ErrorCode).map(([name, code]) => ({ ...errorInfo(code), name, code }));
    const byCode = (a: { code: number }, b: { code: number }) => a.code - b.code;
    assert.deepEqual(own.sort(byCode), tables.errors.sort(byCode));
  });

  it('have the same APIs, versions and header versions', () => {
    const served = tables.apis.filter(({ key }) => requestCodecs.has(key));
    assert.deepEqual(
      [...new Set(tables.apis.map(({ key }) => key))].filter((key) => !requestCodecs.has(key)),
      [],
    );
    for (const { name, key, version, requestHeader, responseHeader } of served) {
      assert.equal(apiName(key)?.toLowerCase(), name.replaceAll('_', '').toLowerCase());
      assert.equal(requestHeaderVersion(key, version), requestHeader, `${name} ${version}`);
      assert.equal(responseHeaderVersion(key, version), responseHeader, `${name} ${version}`);
    }
    assert.equal(responseHeaderVersion(ApiKey.ApiVersions, 4), 0);
  });
});
