import {
  DATA_SELECTOR_CONFIG,
  type DataSelectorSpec,
  dataSelectorTextProblem,
} from '../protocol/forms/data-selector.ts';
import type { Cluster } from './cluster.ts';
import { alterConfigs, describeConfigs } from './configs.ts';
import { DirectError } from './errors.ts';
import { type FormCode, isCode } from './form-code.ts';
import { checkSelector, type DataSelector, type EventSelector, selectorOf } from './selection.ts';

/** The data selector that is stored with a group; null for none. Rejects with INVALID_ARGUMENT when what is stored is none. */
export async function groupSelector(cluster: Cluster, groupId: string): Promise<DataSelectorSpec | null> {
  const owner = { type: 'group', name: groupId } as const;
  const text =
    (await describeConfigs(cluster, owner, [DATA_SELECTOR_CONFIG])).get(DATA_SELECTOR_CONFIG) ?? '';
  const problem = dataSelectorTextProblem(text);
  if (problem !== null)
    throw new DirectError('INVALID_ARGUMENT', `${DATA_SELECTOR_CONFIG}: ${problem}`, {
      doing: `read the data selector of group ${groupId}`,
      todo: 'set it anew: `kafabric groups selector`',
    });
  return text.trim() === '' ? null : (JSON.parse(text) as DataSelectorSpec);
}

/** @param selector null: none is stored any more */
export async function setGroupSelector(
  cluster: Cluster,
  groupId: string,
  selector: DataSelectorSpec | null,
): Promise<void> {
  const doing = `set the data selector of group ${groupId}`;
  if (typeof selector === 'function')
    throw new DirectError('INVALID_ARGUMENT', 'a function cannot be stored', {
      doing,
      todo: 'declare it as JSON, or name it: {type: "custom", name} or {type: "module", module}',
    });
  if (selector !== null) checkSelector(selector, doing);
  const value = selector === null ? null : JSON.stringify(selector);
  await alterConfigs(cluster, { type: 'group', name: groupId }, { [DATA_SELECTOR_CONFIG]: value }, doing);
}

/** Rejects with a DirectError when the code that it names is not to be had here. */
export async function openSelector(
  selector: DataSelector | DataSelectorSpec,
  code: FormCode,
): Promise<EventSelector> {
  if (typeof selector === 'function' || !isCode(selector)) return selectorOf(selector);
  return selectorOf(await code.find('dataSelector', selector, 'select data'));
}
