/** Each value once, in their order: of what is named by a few bytes an answer may tell a thousand times as much. */
export function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

/** The values that occur more than once. */
export function duplicatesOf<T>(values: readonly T[]): Set<T> {
  const seen = new Set<T>();
  const duplicates = new Set<T>();
  for (const value of values) {
    if (seen.has(value)) duplicates.add(value);
    else seen.add(value);
  }
  return duplicates;
}
