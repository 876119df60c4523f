import type { ApiKeyName } from '../../src/protocol/api-keys.ts';
import { ALLOWED, NOTHING_SAID, ORDERED } from './allowed.ts';
import type { Body } from './case.ts';
import type { Outcome, Side } from './side.ts';

/** A field in which two answers differ. */
export interface Difference {
  readonly path: string;
  readonly kafka: string;
  readonly kafabric: string;
}

/** What stands for the ids of one broker, so that those of two can be compared: the same name for the same id. */
export class Names {
  readonly #names = new Map<unknown, string>();

  of(kind: string, value: unknown): string {
    let name = this.#names.get(value);
    if (name === undefined) {
      name = `<${kind} ${this.#names.size}>`;
      this.#names.set(value, name);
    }
    return name;
  }
}

/** An outcome in which everything that may differ from broker to broker is replaced by what it stands for. */
export function normalized(
  api: ApiKeyName,
  outcome: Outcome,
  side: Side,
  names: Names,
  except: readonly string[],
): unknown {
  if (outcome.kind !== 'answer') return outcome.kind;
  const walk = (value: unknown, field: string, path: string): unknown => {
    if (except.includes(field)) return '<not compared>';
    for (const rule of ALLOWED) {
      if (rule.apis !== undefined && !rule.apis.includes(api)) continue;
      if (!rule.fields.includes(field)) continue;
      const replaced = rule.replace(value, side, names);
      if (replaced !== undefined) return replaced;
    }
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (typeof value === 'bigint') return `${value}`;
    if (Array.isArray(value)) {
      const items = value.map((item) => walk(item, field, `${path}[]`));
      return ORDERED.includes(`${api}.${path}`) ? items : items.sort(byText);
    }
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.entries(value as Body).map(([key, inner]) => [
        key,
        walk(inner, key, path === '' ? key : `${path}.${key}`),
      ]),
    );
  };
  return walk(outcome.body, '', '');
}

function byText(a: unknown, b: unknown): number {
  const [left, right] = [textOf(a), textOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function textOf(value: unknown): string {
  return JSON.stringify(value) ?? 'undefined';
}

/** Every field in which two normalized outcomes differ. */
export function differences(kafka: unknown, kafabric: unknown, path = ''): Difference[] {
  if (Array.isArray(kafka) && Array.isArray(kafabric)) {
    if (kafka.length !== kafabric.length) return onlyInOne(kafka, kafabric, path);
    return kafka.flatMap((item, index) => differences(item, kafabric[index], `${path}[${index}]`));
  }
  if (isBody(kafka) && isBody(kafabric)) {
    const keys = new Set([...Object.keys(kafka), ...Object.keys(kafabric)]);
    return [...keys].flatMap((key) =>
      differences(kafka[key], kafabric[key], path === '' ? key : `${path}.${key}`),
    );
  }
  if (kafka === kafabric || (kafka === NOTHING_SAID && typeof kafabric === 'string')) return [];
  return [{ path, kafka: textOf(kafka), kafabric: textOf(kafabric) }];
}

/** Of two lists of different lengths, what is in one of them alone. */
function onlyInOne(kafka: unknown[], kafabric: unknown[], path: string): Difference[] {
  const [left, right] = [kafka.map(textOf), kafabric.map(textOf)];
  const missing = left.filter((item) => !right.includes(item));
  const more = right.filter((item) => !left.includes(item));
  return [
    {
      path: `${path} (${kafka.length} and ${kafabric.length} elements)`,
      kafka: missing.join(' '),
      kafabric: more.join(' '),
    },
  ];
}

function isBody(value: unknown): value is Body {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
