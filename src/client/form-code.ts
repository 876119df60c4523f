import type { CodeKind, CustomSpec, ModuleSpec } from '../protocol/forms/named-code.ts';
import { DirectError, textOf } from './errors.ts';
import type { DataSelector } from './selection.ts';
import type { PartitionSelector, Serializer, Validator } from './topic-form.ts';

export type { CustomSpec, ModuleSpec };

/** What an application adds; topics and groups name it, and every client that uses them has to have it. They never bring code. */
export interface CustomForms {
  readonly validators?: Readonly<Record<string, Validator>>;
  readonly serializers?: Readonly<Record<string, Serializer>>;
  readonly partitionSelectors?: Readonly<Record<string, PartitionSelector>>;
  readonly dataSelectors?: Readonly<Record<string, DataSelector>>;
}

/**
 * What modules that topics and groups name may export: for each part a function that makes it of the options that are stored with the name. They may be
 * asynchronous.
 */
export interface FormModule {
  validator?(options: unknown): Validator | Promise<Validator>;
  serializer?(options: unknown): Serializer | Promise<Serializer>;
  partitionSelector?(options: unknown): PartitionSelector | Promise<PartitionSelector>;
  dataSelector?(options: unknown): DataSelector | Promise<DataSelector>;
}

/**
 * Which modules topics and groups may make this client load, and how: a function that is asked for each, and gives nothing for those that it does not
 * allow; or a list of those that are allowed, `{ 'acme-forms': () => import('acme-forms') }`. The `import()` is the application's, so that names
 * are resolved as its own.
 */
export type Modules =
  | ((specifier: string) => Promise<FormModule> | FormModule | null | undefined)
  | Readonly<Record<string, () => Promise<FormModule> | FormModule>>;

interface Code {
  readonly validator: Validator;
  readonly serializer: Serializer;
  readonly partitionSelector: PartitionSelector;
  readonly dataSelector: DataSelector;
}

/** Whether a part of a form is code that it names. */
export function isCode<Spec>(spec: Spec | CustomSpec | ModuleSpec): spec is CustomSpec | ModuleSpec {
  const { type } = spec as { readonly type?: unknown };
  return type === 'custom' || type === 'module';
}

/** The code that forms name: what the application has registered, and the modules that it allows. */
export class FormCode {
  readonly #custom: CustomForms;
  readonly #modules: Modules;

  /** Without `modules` none are loaded. */
  constructor(custom: CustomForms = {}, modules: Modules = {}) {
    this.#custom = custom;
    this.#modules = modules;
  }

  /** Rejects with INVALID_ARGUMENT for what is not registered, MODULE for a module that is not allowed or cannot be used. */
  async find<Kind extends CodeKind>(
    kind: Kind,
    spec: CustomSpec | ModuleSpec,
    doing: string,
  ): Promise<Code[Kind]> {
    return spec.type === 'custom' ? this.#registered(kind, spec, doing) : this.#loaded(kind, spec, doing);
  }

  #registered<Kind extends CodeKind>(kind: Kind, { name }: CustomSpec, doing: string): Code[Kind] {
    const registered: Readonly<Record<string, unknown>> = this.#custom[`${kind}s`] ?? {};
    if (Object.hasOwn(registered, name)) return registered[name] as Code[Kind];
    throw new DirectError('INVALID_ARGUMENT', `the custom ${kind} "${name}" is not registered`, {
      doing,
      todo: `give it in the client's options: custom.${kind}s`,
    });
  }

  async #loaded<Kind extends CodeKind>(
    kind: Kind,
    { module: specifier, options }: ModuleSpec,
    doing: string,
  ): Promise<Code[Kind]> {
    const fail = (message: string, todo: string, cause?: unknown) =>
      new DirectError('MODULE', message, { doing, todo, ...(cause === undefined ? {} : { cause }) });
    const whatToExport = `it has to export a function ${kind}(options) that returns one`;
    let loaded: FormModule | null | undefined;
    let made: unknown;
    try {
      loaded = await this.#load(specifier);
      const make = loaded?.[kind] as ((options: unknown) => unknown) | undefined;
      made = typeof make === 'function' ? await make(options) : undefined;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : textOf(cause);
      throw fail(`the module "${specifier}" failed (${why})`, `it is needed for the ${kind}`, cause);
    }
    if (loaded === null || loaded === undefined)
      throw fail(
        `the ${kind} is in the module "${specifier}", which this client does not allow`,
        `if you trust it, say so in the client's options: modules: { ${JSON.stringify(specifier)}: () => import(${JSON.stringify(specifier)}) }`,
      );
    if (typeof loaded[kind] !== 'function')
      throw fail(`the module "${specifier}" has no ${kind}`, whatToExport);
    if (!isUsable(kind, made)) throw fail(`what the module "${specifier}" made is no ${kind}`, whatToExport);
    return made as Code[Kind];
  }

  async #load(specifier: string): Promise<FormModule | null | undefined> {
    const modules = this.#modules;
    if (typeof modules === 'function') return modules(specifier);
    return Object.hasOwn(modules, specifier) ? modules[specifier]!() : null;
  }
}

function isUsable(kind: CodeKind, made: unknown): boolean {
  if (kind !== 'serializer') return typeof made === 'function';
  const { serialize, deserialize } = (made ?? {}) as Partial<Serializer>;
  return typeof serialize === 'function' && typeof deserialize === 'function';
}
