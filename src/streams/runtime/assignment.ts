/**
 * Gives every task to one member, as evenly as it goes; a member keeps what it has as far as that is even.
 * @param owned what each member has run so far
 */
export function assignTasks(
  tasks: readonly string[],
  owned: ReadonlyMap<string, readonly string[]>,
): Map<string, string[]> {
  const members = [...owned.keys()].sort();
  const assigned = new Map<string, string[]>(members.map((member) => [member, []]));
  if (members.length === 0) return assigned;
  const each = Math.floor(tasks.length / members.length);
  let extra = tasks.length % members.length;
  const free = new Set(tasks);
  const room = (member: string): boolean => {
    const has = assigned.get(member)!.length;
    return has < each || (has === each && extra > 0);
  };
  const give = (member: string, task: string): void => {
    const list = assigned.get(member)!;
    list.push(task);
    if (list.length === each + 1) extra--;
    free.delete(task);
  };
  for (const member of members)
    for (const task of owned.get(member)!) if (free.has(task) && room(member)) give(member, task);
  for (const task of [...free]) {
    const least = members
      .filter(room)
      .reduce((one, other) => (assigned.get(other)!.length < assigned.get(one)!.length ? other : one));
    give(least, task);
  }
  return assigned;
}
