import { closest, distance } from 'fastest-levenshtein';

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  readonly key: string;
  readonly value: string | null;
  /** Where it was set, for people; null when nobody set it. */
  readonly origin: string | null;
  /** A sentence: what is wrong and what is allowed. */
  readonly message: string;
}

/** A configuration that cannot be used; carries everything that is wrong with it, not only the first. */
export class ConfigurationError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    super(
      [`The configuration has ${count}:`, ...problems.map((problem) => `  ${problemText(problem)}`)].join(
        '\n',
      ),
    );
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}

function problemText({ key, value, origin, message }: ConfigProblem): string {
  const assignment = value === null ? key : `${key}=${value}`;
  return `${assignment}${origin === null ? '' : ` (${origin})`}: ${message}`;
}

/** What is longer is no misspelled key, and takes as long to compare as it is. */
const MISSPELLED_MAX_LENGTH = 100;

/** The known name nearest to a misspelled one, or null when none is near enough to be meant. */
export function closestName(name: string, known: readonly string[]): string | null {
  if (name.length > MISSPELLED_MAX_LENGTH) return null;
  const candidate = closest(name, known);
  return distance(name, candidate) <= Math.max(2, Math.floor(name.length / 3)) ? candidate : null;
}
