const FULL_CODES = new Set(['ENOSPC', 'EDQUOT']);

/** Whether an operation failed for want of room on its disk, or of what its user may have of it. */
export function isFull(error: unknown): boolean {
  return FULL_CODES.has((error as NodeJS.ErrnoException | null)?.code ?? '');
}
