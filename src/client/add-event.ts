import type { Delivery } from './delivery.ts';
import { aborted } from './errors.ts';
import type { PushResult } from './lane.ts';
import type { PushedEvent } from './push-event.ts';

/** Has an event delivered; a signal takes it back for as long as it is not on its way. Rejects with ABORTED then. */
export function addEvent(
  delivery: Delivery,
  partition: number,
  event: PushedEvent,
  { signal, doing }: { signal: AbortSignal | undefined; doing: string },
): Promise<PushResult> {
  const { bytes } = event;
  return new Promise((resolve, reject) => {
    if (signal === undefined) {
      delivery.add(partition, { event, bytes, resolve, reject });
      return;
    }
    const settled =
      <T>(settle: (value: T) => void) =>
      (value: T) => {
        signal.removeEventListener('abort', onAbort);
        settle(value);
      };
    const waiting = { event, bytes, resolve: settled(resolve), reject: settled(reject) };
    const onAbort = () => {
      if (delivery.withdraw(partition, waiting)) waiting.reject(aborted(doing, signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    delivery.add(partition, waiting);
    // While it waited for room.
    if (signal.aborted) onAbort();
  });
}
