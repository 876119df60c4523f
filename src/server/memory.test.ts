import assert from 'node:assert/strict';
import { loadConfig } from '../config/index.ts';
import { arenaBytes, maxRequestBytes } from './memory.ts';

describe('memory of the gateway', () => {
  const config = (...overrides: string[]) =>
    loadConfig({ environment: {}, overrides, host: { isRoot: false, homeDirectory: '/' } });

  it('has room for the largest request unless it is told otherwise', () => {
    const largest = 2 ** 31 - 1;
    const config31 = config(`socket.request.max.bytes=${largest}`);
    assert.ok(arenaBytes(config31) >= largest);
    assert.equal(maxRequestBytes(config31), largest);
    assert.equal(arenaBytes(config('arena.bytes=67108864')), 67108864);
  });

  it('says which keys do not go together', () => {
    assert.throws(
      () => maxRequestBytes(config('arena.bytes=67108864')),
      /^Error: arena\.bytes=67108864 has no room .* socket\.request\.max\.bytes=104857600$/,
    );
  });
});
