/** One thing that was looked at. `advice`: what to do about it. */
export interface Finding {
  readonly area: 'machine' | 'memory' | 'disk' | 'network' | 'fabric' | 'stores' | 'objects';
  readonly status: 'ok' | 'note' | 'problem';
  readonly text: string;
  readonly advice: string | null;
  /** What was measured, for scripts. */
  readonly values?: Readonly<Record<string, unknown>>;
}

/** Told what is looked at, where that takes a while. */
export type Progress = (what: string) => void;

type Area = Finding['area'];

export const ok = (area: Area, text: string): Finding => ({ area, status: 'ok', text, advice: null });

/** Nothing is wrong, but something could be better, or ought to be known. */
export const note = (area: Area, text: string, advice: string | null = null): Finding => ({
  area,
  status: 'note',
  text,
  advice,
});

/** The gateway would not start, or not do what it is configured for. */
export const problem = (area: Area, text: string, advice: string): Finding => ({
  area,
  status: 'problem',
  text,
  advice,
});

/** "1.5 GiB"; as configuration keys and the system count it. */
export function binaryBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
