import type { DataSelectorSpec } from '../../client/index.ts';

/** What `selectorOf` takes, for people. */
export const SELECTIONS =
  'all, none, offset:length[:count:stride] in bytes, or JSON as in docs/direct-api.md';

/** A data selector. @throws Error for what is none; what JSON says is looked at by the client */
export function selectorOf(text: string): DataSelectorSpec {
  if (text === 'all' || text === 'none') return text;
  if (/^\s*[{[]/.test(text)) {
    try {
      return JSON.parse(text) as DataSelectorSpec;
    } catch (error) {
      throw new Error(`"${text}" is no JSON (${(error as Error).message})`);
    }
  }
  if (/^\d+:\d+(:\d+:\d+)?$/.test(text)) {
    const [offset, length, count, stride] = text.split(':').map(Number);
    return { offset: offset!, length: length!, ...(count === undefined ? {} : { count, stride: stride! }) };
  }
  throw new Error(`"${text}" is no selection: ${SELECTIONS}`);
}
