// The word count and the windowed join of StreamsCheck.java, with kafabric/streams: node application.js <bootstrap> <application> <directory for state>
import { StreamsApp, StreamsBuilder, serdes, within } from '../../src/streams/index.ts';

const [bootstrap, applicationId, stateDir] = process.argv.slice(2);
const HOUR_MS = 3_600_000;

const builder = new StreamsBuilder({ value: serdes.string as never });
builder
  .stream<string, string>('sentences')
  .flatMapValues((sentence) => sentence.split(' '))
  .groupBy((word) => word, { name: 'words' })
  .count({ name: 'count' })
  .toStream()
  .mapValues(String)
  .to('counts');
builder
  .stream<string, string>('left')
  .join(
    builder.stream<string, string>('right'),
    (left, right) => `${left}/${right}`,
    within(10_000, { graceMs: HOUR_MS }),
    { name: 'near' },
  )
  .to('joined');

const say = (fields: object, message: string) => console.log(message, JSON.stringify(fields));
const logger = { debug: say, info: say, warn: say, error: say, child: () => logger };
const app = new StreamsApp(builder.build(), {
  applicationId: applicationId!,
  bootstrap: bootstrap!,
  stateDir: stateDir!,
  commitIntervalMs: 200,
  sessionTimeoutMs: 6000,
  heartbeatMs: 500,
  transactionTimeoutMs: 20_000,
  logger,
  onState: (state) => console.log(`state ${state}`),
});
process.once('SIGTERM', () => void app.close());
await app.start();
await app.ended;
