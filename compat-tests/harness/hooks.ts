import { stopSharedBroker } from './broker.ts';
import { stopSharedClients } from './client.ts';

/** Mocha's root hooks: what the suites share ends with the last of them. */
export const mochaHooks = {
  async afterAll(): Promise<void> {
    await stopSharedClients();
    await stopSharedBroker();
  },
};
