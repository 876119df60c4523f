/** Math.min and Math.max for offsets. */

export function smallest(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

export function largest(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

export function clamp(offset: bigint, low: bigint, high: bigint): bigint {
  return smallest(largest(offset, low), high);
}
