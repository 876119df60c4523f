import { binding } from './addon.ts';

const native = binding<{ allocatorTrim(): void }>();

/**
 * Gives memory that the C library keeps for later back to the operating system: a millisecond or two. With glibc; others give it back by
 * themselves.
 */
export function trimAllocator(): void {
  native.allocatorTrim();
}
