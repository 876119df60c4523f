const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

const controller = new AbortController();

/**
 * Fires at the first SIGINT or SIGTERM, and when nobody reads the output any more: the command puts in order what others would notice, and ends. A
 * second signal ends it at once.
 */
export function interruptible(): AbortSignal {
  for (const [name, code] of Object.entries(EXIT_CODES))
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(code);
      process.exitCode = code;
      controller.abort();
    });
  return controller.signal;
}

/** As a signal does it, for reasons of the command's own. */
export function interrupt(): void {
  controller.abort();
}

/** Whether an error says only that the command was interrupted. */
export function isInterruption(error: unknown): boolean {
  const { name, code } = error as { name?: unknown; code?: unknown };
  return controller.signal.aborted && (name === 'AbortError' || code === 'ABORTED');
}

/**
 * To be called once, by commands that write to standard output. That a reader has gone, as in `kafabric consume fields | head`, ends them in silence;
 * what cannot be written for another reason is an error.
 */
export function watchOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && !controller.signal.aborted) {
      process.stderr.write(`kafabric: the output cannot be written: ${error.message}\n`);
      process.exitCode = 1;
    }
    controller.abort();
  });
  // Progress that nobody sees harms nobody.
  process.stderr.on('error', () => {});
}

/** False when it could not be written: the command is to end, and has said why. */
export function writeOut(data: string | Uint8Array): Promise<boolean> {
  return new Promise((resolve) => process.stdout.write(data, (error) => resolve(!error)));
}
