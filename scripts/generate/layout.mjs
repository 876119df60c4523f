// Breaks the few kinds of lines that become too long.

const WIDTH = 120;

/** @param {string[]} lines @returns {string[]} */
export function breakLongLines(lines) {
  return lines.flatMap((line) => (line.length <= WIDTH ? [line] : breakLine(line)));
}

function breakLine(line) {
  const [, space, text] = /^( *)(.*)$/.exec(line);
  const comment = /^\/\*\* (.*) \*\/$/.exec(text);
  if (comment) return breakComment(space, comment[1]);
  const statement = /^(if \(.*\)) (throw .*;)$/.exec(text);
  if (statement) return [`${space}${statement[1]} {`, `${space}  ${statement[2]}`, `${space}}`];
  const signature = /^((?:export )?function \w+\()(.*)(\): .* \{)$/.exec(text);
  if (signature) return [`${space}${signature[1]}`, `${space}  ${signature[2]},`, `${space}${signature[3]}`];
  const member = /^(\w+:) (.* === undefined) (\? .*) (: .*)$/.exec(text);
  if (member) return [`${space}${member[1]}`, ...member.slice(2).map((part) => `${space}  ${part}`)];
  const assignment = /^((?:const|let) [^=]* =) (.*)$/.exec(text);
  if (assignment) return [`${space}${assignment[1]}`, `${space}  ${assignment[2]}`];
  const loop = /^(for \(.*\)|if \(.*\)) (\w+\(.*;|.*\.push\(.*;)$/.exec(text);
  if (loop) return [`${space}${loop[1]} {`, `${space}  ${loop[2]}`, `${space}}`];
  return [line];
}

function breakComment(space, text) {
  const lines = [];
  let current = '';
  for (const word of text.split(' ')) {
    if (current !== '' && space.length + 3 + current.length + 1 + word.length > WIDTH) {
      lines.push(current);
      current = word;
    } else {
      current = current === '' ? word : `${current} ${word}`;
    }
  }
  lines.push(current);
  return [`${space}/**`, ...lines.map((line) => `${space} * ${line}`), `${space} */`];
}
