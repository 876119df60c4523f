export const OFFSETS_TOPIC = '__consumer_offsets';
export const TRANSACTION_TOPIC = '__transaction_state';
export const SHARE_STATE_TOPIC = '__share_group_state';
export const METADATA_TOPIC = '__cluster_metadata';

export const TOPIC_NAME_MAX_LENGTH = 249;

/** Whether the broker keeps its own state in the topic. */
export function isInternalTopic(name: string): boolean {
  return name === OFFSETS_TOPIC || name === TRANSACTION_TOPIC || name === SHARE_STATE_TOPIC;
}

/** Longer than that names are cut in messages. */
const SHOWN_LENGTH = 300;

/** A name as messages have it: there may be a million of them in an answer, and it may be a hundred times as long as that of a topic. */
export function shownName(name: string): string {
  return name.length <= SHOWN_LENGTH ? name : `${name.slice(0, SHOWN_LENGTH)}...`;
}

/** Why a topic may not have this name, in Kafka's words; null if it may. */
export function topicNameProblem(name: string): string | null {
  const problem = namedProblem(name);
  return problem === null ? null : `Topic name is invalid: ${problem}`;
}

function namedProblem(name: string): string | null {
  if (name === '') return 'the empty string is not allowed';
  if (name === '.') return "'.' is not allowed";
  if (name === '..') return "'..' is not allowed";
  if (name.length > TOPIC_NAME_MAX_LENGTH) {
    return `the length of '${shownName(name)}' is longer than the max allowed length ${TOPIC_NAME_MAX_LENGTH}`;
  }
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) {
    return `'${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`;
  }
  return null;
}

/** Topics whose names agree in this form collide, because metric names do not tell '.' from '_'. */
export function collisionKey(name: string): string {
  return name.replaceAll('.', '_');
}
