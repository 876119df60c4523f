/** Of groups of which all offsets are asked for, each once: an answer may be thousands of times as long as its name. */
export function allOffsetsOnce<G extends { readonly groupId: string; readonly topics: unknown }>(
  groups: readonly G[],
): G[] {
  const all = new Set<string>();
  return groups.filter(({ groupId, topics }) => {
    if (topics !== null) return true;
    return !all.has(groupId) && all.add(groupId);
  });
}
