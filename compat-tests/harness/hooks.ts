import { stopSharedBroker } from './broker.ts';
import { patience } from './child.ts';
import { stopSharedClients } from './client.ts';

/** Mocha's root hooks: tests may take longer on slow machines, and what the suites share ends with the last of them. */
export const mochaHooks = {
  beforeEach(this: Mocha.Context): void {
    const test = this.currentTest!;
    test.timeout(test.timeout() * patience);
  },
  async afterAll(): Promise<void> {
    await stopSharedClients();
    await stopSharedBroker();
  },
};
