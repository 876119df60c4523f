import type { Delivery } from './delivery.ts';
import { aborted } from './errors.ts';
import type { PushResult } from './lane.ts';
import type { PushedEvent } from './push-event.ts';

/** Has an event delivered; a signal takes it back for as long as it is not on its way. Rejects with ABORTED then. */
export function addEvent(
  delivery: Delivery,
  partition: number,
  event: PushedEvent,
  signal: AbortSignal | undefined,
  doing: string,
): Promise<PushResult> {
  return new Promise((resolve, reject) => {
    event.resolve = resolve;
    event.reject = reject;
    if (signal === undefined) delivery.add(partition, event);
    else addUntilAborted(delivery, partition, event, signal, doing);
  });
}

function addUntilAborted(
  delivery: Delivery,
  partition: number,
  event: PushedEvent,
  signal: AbortSignal,
  doing: string,
): void {
  const settled =
    <T>(settle: (value: T) => void) =>
    (value: T) => {
      signal.removeEventListener('abort', onAbort);
      settle(value);
    };
  const onAbort = () => {
    if (delivery.withdraw(partition, event)) event.reject(aborted(doing, signal));
  };
  event.resolve = settled(event.resolve);
  event.reject = settled(event.reject);
  signal.addEventListener('abort', onAbort, { once: true });
  delivery.add(partition, event);
  // While it waited for room.
  if (signal.aborted) onAbort();
}
