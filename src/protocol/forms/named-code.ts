/** Code that clients have: forms name it, they never bring it. */
export interface CustomSpec {
  readonly type: 'custom';
  /** Under which the application has registered it. */
  readonly name: string;
}

/** A module that clients load, if they allow it. */
export interface ModuleSpec {
  readonly type: 'module';
  /** As `import()` takes it. */
  readonly module: string;
  /** Handed to what the module exports; anything that JSON can say. */
  readonly options?: unknown;
}

/** The parts of forms that may be code. Modules export a function of the same name for each that they have. */
export type CodeKind = 'validator' | 'serializer' | 'partitionSelector' | 'dataSelector';

/** Why a specification of code is none, for people; null when it is one. */
export function namedCodeProblem(
  spec: { readonly type?: unknown; readonly name?: unknown; readonly module?: unknown },
  kind: CodeKind,
): string | null {
  const isText = (value: unknown) => typeof value === 'string' && value !== '';
  if (spec.type === 'custom')
    return isText(spec.name) ? null : `${kind} of type custom needs "name" (string)`;
  if (spec.type === 'module')
    return isText(spec.module) ? null : `${kind} of type module needs "module" (string)`;
  return `${JSON.stringify(spec.type)} is no type of a ${kind} that is code: custom, module`;
}

/** What is wrong with a stored text; null for nothing, or when it is empty. */
export function textProblem(text: string, problemOf: (value: unknown) => string | null): string | null {
  if (text.trim() === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `it is no JSON (${(error as Error).message})`;
  }
  return problemOf(value);
}
