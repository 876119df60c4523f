// Turns "this field takes form X in versions a-b and form Y from c on" into the shortest chain of version tests.

/**
 * Groups the versions of a range by what `formOf` returns for each (a string, or null for "nothing to do").
 * @returns {{form: string|null, lo: number, hi: number}[]} newest first
 */
export function groupVersions(range, formOf) {
  const groups = [];
  for (let version = range.hi; version >= range.lo; version--) {
    const form = formOf(version);
    const last = groups[groups.length - 1];
    if (last && last.form === form) last.lo = version;
    else groups.push({ form, lo: version, hi: version });
  }
  return groups;
}

/** `version >= 12 ? a : version >= 3 ? b : c` */
export function chainExpression(range, formOf) {
  const groups = groupVersions(range, formOf);
  return groups
    .map(({ form, lo }, index) => (index === groups.length - 1 ? form : `version >= ${lo} ? ${form}`))
    .join(' : ');
}

/**
 * Statements that differ by version, as if-else chains; each form is a list of lines, null for "nothing to do".
 * @returns {string[]}
 */
export function chainStatements(range, formOf) {
  const groups = groupVersions(range, (version) => formOf(version)?.join('\n') ?? null);
  const lines = [];
  for (const chain of adjacentGroups(groups)) lines.push(...emitChain(chain, range));
  return lines;
}

/** Runs of groups that have something to do and follow each other without a gap. */
function adjacentGroups(groups) {
  const runs = [];
  let run = [];
  for (const group of [...groups, { form: null }]) {
    if (group.form !== null) {
      run.push(group);
    } else if (run.length > 0) {
      runs.push(run);
      run = [];
    }
  }
  return runs;
}

function emitChain(chain, range) {
  const [head] = chain;
  const last = chain[chain.length - 1];
  if (head.hi < range.hi)
    return guard([`version <= ${head.hi}`], emitChain(chain, { lo: range.lo, hi: head.hi }));
  const first = head.form.split('\n');
  if (chain.length === 1) return guard(head.lo > range.lo ? [`version >= ${head.lo}`] : [], first);
  const lines = [`if (version >= ${head.lo}) {`, ...indent(first)];
  for (const group of chain.slice(1)) {
    lines.push(group === last && group.lo === range.lo ? '} else {' : `} else if (version >= ${group.lo}) {`);
    lines.push(...indent(group.form.split('\n')));
  }
  lines.push('}');
  return lines;
}

/** Statements under conditions, all of which must hold. @returns {string[]} */
export function guard(tests, lines) {
  if (tests.length === 0) return lines;
  const test = tests.join(' && ');
  if (lines.length > 1) return [`if (${test}) {`, ...indent(lines), '}'];
  // One more condition for a statement that has one already.
  return [
    lines[0].startsWith('if (') ? lines[0].replace('if (', `if (${test} && `) : `if (${test}) ${lines[0]}`,
  ];
}

export function indent(lines) {
  return lines.map((line) => (line === '' ? line : `  ${line}`));
}
