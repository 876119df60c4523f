import assert from 'node:assert/strict';
import { gate } from './testing.ts';
import { type Step, Turns } from './turns.ts';

describe('Turns', () => {
  let turns: Turns;
  let taken: string[];

  beforeEach(() => {
    turns = new Turns();
    taken = [];
  });

  const step = (name: string, isReady: boolean, take: () => Promise<void> | null = () => null) => ({
    isReady,
    take: () => {
      taken.push(name);
      return take();
    },
  });

  it('are taken in order, at once where nothing holds them up', () => {
    const first: Step & { isReady: boolean } = step('first', false);
    turns.add(first);
    turns.add(step('second', true));
    assert.deepEqual(taken, []);
    first.isReady = true;
    turns.advance();
    assert.deepEqual(taken, ['first', 'second']);
  });

  it('wait for what one before takes, and are not taken twice by what that brings about', async () => {
    const { passed, open } = gate();
    turns.add(step('slow', true, () => passed));
    turns.add(
      step('second', true, () => {
        turns.add(step('third', true));
        assert.deepEqual(taken, ['slow', 'second']);
        return null;
      }),
    );
    turns.advance();
    assert.deepEqual(taken, ['slow']);
    open();
    await turns.passed();
    assert.deepEqual(taken, ['slow', 'second', 'third']);
  });

  it('have passed when those before have, whatever comes behind them', async () => {
    const { passed, open } = gate();
    turns.add(step('slow', true, () => passed));
    let isOver = false;
    const over = turns.passed().then(() => {
      isOver = true;
    });
    turns.add(step('never', false));
    await new Promise(setImmediate);
    assert.equal(isOver, false);
    open();
    await over;
    assert.deepEqual(taken, ['slow']);
  });
});
