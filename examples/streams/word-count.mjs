import { StreamsBuilder, serdes, tumbling } from 'kafabric/streams';

/** Counts words, over all and for each minute. */
export function wordCount() {
  const builder = new StreamsBuilder();
  const words = builder
    .stream('lines', { value: serdes.string })
    .flatMapValues((line) => line.toLowerCase().match(/\p{L}+/gu) ?? [], { value: serdes.string })
    .groupBy((word) => word, { name: 'words' });
  words.count({ name: 'counts' }).toStream().to('word-counts', { value: serdes.json() });
  words
    .windowedBy(tumbling(60_000, { graceMs: 10_000 }))
    .count({ name: 'counts-per-minute' })
    .toStream()
    .map((count, { key, window }) => [key, { from: new Date(window.start).toISOString(), count }])
    .to('word-counts-per-minute');
  return builder.build();
}
