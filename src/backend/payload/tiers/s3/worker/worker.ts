// The thread of the object store: answers requests with the AWS SDK, so that neither it nor payload bytes are on the gateway's thread.
import { parentPort, workerData } from 'node:worker_threads';
import type { S3Config } from '../../../../../config/index.ts';
import { ObjectError } from '../objects.ts';
import { type ObjectAnswer, type ObjectRequest, type Patience, STOP } from './messages.ts';
import { SdkObjects } from './sdk-objects.ts';

const port = parentPort!;
const objects = new SdkObjects(workerData as S3Config);

async function answer({ id, operation, args }: ObjectRequest): Promise<ObjectAnswer> {
  try {
    const method = objects[operation] as (...args: unknown[]) => Promise<unknown>;
    return { id, value: await method.apply(objects, args) };
  } catch (error) {
    const { message } = error as Error;
    return { id, error: { code: error instanceof ObjectError ? error.code : 'EIO', message } };
  }
}

port.on('message', (request: ObjectRequest | Patience | typeof STOP) => {
  if (request === STOP) objects.stop();
  else if ('patienceMs' in request) objects.patienceMs = request.patienceMs;
  else void answer(request).then((message) => port.postMessage(message));
});
