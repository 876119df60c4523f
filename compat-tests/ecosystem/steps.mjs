// What the ecosystem suite runs, beyond the clients of setup.mjs. Hundreds of megabytes: none of it is installed for npm test.
import { virtualEnvironment } from '../install.mjs';

/** One after another; `version` is handed to `install` and, as `inputs`, calls for another installation when it changes. */
export const ecosystemSteps = [
  {
    name: 'ecosystem-python',
    inputs: ['ecosystem/python/requirements.txt'],
    install: (log) => virtualEnvironment(log, 'ecosystem-python', 'ecosystem/python/requirements.txt'),
  },
];
