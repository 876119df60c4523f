/** A copy of a complete segment, as far as is known of it. */
export interface CopyState {
  readonly store: string;
  readonly doubtful: boolean;
  /** It was found to lack something that the log refers to. */
  readonly damaged: boolean;
  /** `away`: not for long; it may come back. `lost`: it is not waited for. */
  readonly presence: 'in' | 'draining' | 'away' | 'lost';
}

export interface RepairPlan {
  readonly isNeeded: boolean;
  /** Copies to be made. */
  readonly lacking: number;
  /** The stores whose copies stay, and those whose are to go now. */
  readonly kept: readonly string[];
  readonly dropped: readonly string[];
}

/**
 * What a segment needs so that there are as many copies as wanted. Copies at stores that are away for a short time count, so that a restart moves
 * nothing; copies go, damaged ones too, only when there are enough whole ones at stores that are in.
 */
export function planRepair(copies: readonly CopyState[], replicas: number): RepairPlan {
  const whole = copies.filter(({ doubtful, presence }) => presence === 'in' && !doubtful);
  const awaited = copies.filter(({ presence }) => presence === 'away');
  const inDoubt = copies.some(
    ({ doubtful, presence }) => doubtful && presence !== 'away' && presence !== 'lost',
  );
  const lacking = Math.max(0, replicas - whole.length - awaited.length);
  const enough = whole.slice(0, replicas);
  const kept: string[] = [];
  const dropped: string[] = [];
  for (const copy of copies) {
    // Who is in doubt is first compared.
    const isCompared = copy.doubtful && !copy.damaged && copy.presence === 'in';
    if (whole.length < replicas || enough.includes(copy) || isCompared) kept.push(copy.store);
    else dropped.push(copy.store);
  }
  return { isNeeded: inDoubt || lacking > 0 || dropped.length > 0, lacking, kept, dropped };
}
