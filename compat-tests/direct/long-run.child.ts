// A client that pushes and pulls, so many rounds or until it is ended. Arguments: address of a direct listener, path, topic, rounds.
import { Client, type Path } from '../../src/client/index.ts';
import { roundTrip } from './round-trip.ts';

const [, , bootstrap = '', path = '', name = '', rounds = ''] = process.argv;
const EVENTS = 32;
let isEnding = false;
process.on('SIGTERM', () => {
  isEnding = true;
});
const client = await Client.connect({ bootstrap, path: path as Path, sharedChunkBytes: 16 << 20 });
const topic = await client.openTopic(name);
for (let round = 0; round < Number(rounds) && !isEnding; round++) {
  const bytes = await roundTrip(client, topic, EVENTS);
  process.stdout.write(`round ${round}: ${bytes} bytes\n`);
}
client.close();
