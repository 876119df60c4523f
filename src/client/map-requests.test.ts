import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { DirectMapRequest } from '../protocol/generated/direct-map-request.ts';
import { createDirectMapAllocated, directMapResponse } from '../protocol/generated/direct-map-response.ts';
import type { Connection } from './connection.ts';
import { MapRequests } from './map-requests.ts';

describe('requests for memory of a gateway', () => {
  let asked: DirectMapRequest[];
  /** Answers the requests under way. */
  let answer: (() => void)[];
  let requests: MapRequests;

  beforeEach(() => {
    asked = [];
    answer = [];
    const call = (_request: unknown, _response: unknown, request: DirectMapRequest) => {
      asked.push(request);
      const allocated = request.allocate.map((bytes) => createDirectMapAllocated({ offset: bytes }));
      return new Promise((resolve) => {
        answer.push(() => resolve(directMapResponse.create({ allocated })));
      });
    };
    requests = new MapRequests({ call } as unknown as Connection, 1n);
  });

  const sizes = () => asked.map(({ allocate }) => allocate.map(Number));

  it('are made together while others are under way', async () => {
    const all = [1n, 2n].map((bytes) => requests.allocate(bytes, 'test'));
    await setImmediate();
    for (const bytes of [3n, 4n, 5n]) {
      all.push(requests.allocate(bytes, 'test'));
      await setImmediate();
    }
    assert.deepEqual(sizes(), [[1, 2], [3]]);
    answer.shift()!();
    await setImmediate();
    assert.deepEqual(sizes(), [[1, 2], [3], [4, 5]]);
    for (const one of answer) one();
    assert.deepEqual(
      (await Promise.all(all)).map((one) => one!.offset),
      [1n, 2n, 3n, 4n, 5n],
    );
  });

  it('do not keep back what is released: the others may be waiting for it', async () => {
    for (const bytes of [1n, 2n, 3n]) {
      void requests.allocate(bytes, 'test');
      await setImmediate();
    }
    requests.release(7);
    requests.release(8);
    await setImmediate();
    assert.deepEqual(sizes(), [[1], [2], []]);
    assert.deepEqual(asked[2]!.release, [7, 8]);
    for (const one of answer.splice(0)) one();
    await setImmediate();
    assert.deepEqual(sizes()[3], [3]);
  });
});
