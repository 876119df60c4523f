import type { Command } from 'commander';
import { closestName } from '../../config/index.ts';

/** Ends the program when an argument in the place of a command is none: the default command would call it one argument too many of its own. */
export function assertKnown(program: Command, args: readonly string[]): void {
  let command: Command = program;
  for (const name of args) {
    if (command.commands.length === 0 || name.startsWith('-') || name === 'help') return;
    const found = command.commands.find((one) => one.name() === name);
    if (found === undefined) {
      const names = command.commands.map((one) => one.name());
      const closest = closestName(name, names);
      const hint = closest === null ? `there are ${names.join(', ')}` : `did you mean ${closest}?`;
      command.error(`error: unknown command '${name}'; ${hint}`);
    } else command = found;
  }
}
