const MOST_BYTES = 400e6;

/**
 * Events before the measurement of moving so many bytes of each: connections and the topic's files are there then, and the JavaScript of a client is
 * compiled, as librdkafka is.
 */
export function warmUpEvents(bytes: number): number {
  // Of the largest no more than the memory that they are pushed from: what waits to be written when it begins is not of the measurement.
  const least = Math.min(20, MOST_BYTES / bytes);
  return Math.round(Math.min(20_000, Math.max(least, 200e6 / Math.max(1, bytes))));
}
