/** Whether a read failed for want of arena memory: the reader's trouble, not the payload's. It may be tried again. */
export function isLackOfMemory(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOMEM' || error.code === 'ETIMEDOUT');
}
