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
  if (signal === undefined) return delivery.add(partition, event);
  return new Promise((resolve, reject) => {
    const settle = (action: () => void) => {
      signal.removeEventListener('abort', onAbort);
      action();
    };
    const onAbort = () => {
      if (delivery.withdraw(partition, event)) settle(() => reject(aborted(doing, signal)));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    delivery.add(partition, event, true).then(
      (result) => settle(() => resolve(result)),
      (error) => settle(() => reject(error)),
    );
    // While it waited for room.
    if (signal.aborted) onAbort();
  });
}
