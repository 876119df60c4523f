import type { DataSelectorSpec } from '../protocol/forms/data-selector.ts';
import type { Cluster } from './cluster.ts';
import type { FormCode } from './form-code.ts';
import { groupSelector, openSelector } from './group-selector.ts';
import { type DataSelector, type EventSelector, selectorOf } from './selection.ts';

/** What a consumer selects: its own selector, or the one that is stored with its group, which may change. */
export class ConsumerSelector {
  readonly #own: DataSelector | DataSelectorSpec | undefined;
  readonly #groupId: string | undefined;
  readonly #cluster: Cluster;
  readonly #code: FormCode;
  #select: EventSelector = selectorOf('none');
  /** What is applied, as JSON: code that a selector names is made once. */
  #stored: string | null = null;
  #isOpen = false;
  #reading: Promise<void> | null = null;

  constructor(
    own: DataSelector | DataSelectorSpec | undefined,
    groupId: string | undefined,
    cluster: Cluster,
    code: FormCode,
  ) {
    this.#own = own;
    this.#groupId = groupId;
    this.#cluster = cluster;
    this.#code = code;
  }

  /** See selectorOf. */
  readonly select: EventSelector = (event) => this.#select(event);

  /** Takes over what is to be applied now; without a group, or with an own selector, nothing is asked for. Rejects with a DirectError when it cannot be used here. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    if (this.#own !== undefined || this.#groupId === undefined) {
      if (!this.#isOpen) await this.#open(this.#own ?? 'none');
      return;
    }
    const selector = (await groupSelector(this.#cluster, this.#groupId)) ?? 'none';
    const stored = JSON.stringify(selector);
    if (stored === this.#stored) return;
    await this.#open(selector);
    this.#stored = stored;
  }

  async #open(selector: DataSelector | DataSelectorSpec): Promise<void> {
    this.#select = await openSelector(selector, this.#code);
    this.#isOpen = true;
  }
}
