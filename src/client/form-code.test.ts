import assert from 'node:assert/strict';
import type { DirectError } from './errors.ts';
import { FormCode, type FormModule } from './form-code.ts';
import { openSelector } from './group-selector.ts';
import { openForm } from './topic-form.ts';

const SPEC = { type: 'module', module: 'acme-forms', options: { unit: 'K' } } as const;
const FORM = { validator: SPEC, serializer: SPEC, partitionSelector: SPEC };

/** Metadata in some unit, written as a number. */
const acme: FormModule = {
  validator: (options) => (metadata) =>
    typeof metadata === 'number' ? null : `no number of ${(options as { unit: string }).unit}`,
  serializer: async () => ({
    serialize: (metadata) => Buffer.from(String(metadata)),
    deserialize: (bytes) => Number(Buffer.from(bytes).toString()),
  }),
  partitionSelector: () => (metadata, _key, partitions) => (metadata as number) % partitions,
  dataSelector: () => (metadata) => ((metadata as number) > 300 ? 'all' : 'none'),
};

describe('modules that topics and groups name', () => {
  it('are not loaded unasked, and the error says what to set', async () => {
    const code = new FormCode();
    const isRefusal = ({ code: name, todo, message }: DirectError) => {
      assert.equal(name, 'MODULE');
      assert.match(message, /the module "acme-forms", which this client does not allow/);
      assert.match(todo ?? '', /modules: \{ "acme-forms": \(\) => import\("acme-forms"\) \}/);
      return true;
    };
    await assert.rejects(openForm(FORM, code, 'test'), isRefusal);
    await assert.rejects(openSelector(SPEC, code), isRefusal);
    const others = new FormCode({}, { 'other-forms': () => acme });
    await assert.rejects(openForm(FORM, others, 'test'), isRefusal);
    await assert.rejects(openForm(FORM, new FormCode({}, () => null), 'test'), isRefusal);
    // Nothing that every object has is a module.
    await assert.rejects(openSelector({ type: 'module', module: 'constructor' }, code), { code: 'MODULE' });
  });

  it('make what they export of the options that are stored', async () => {
    const asked: string[] = [];
    const modules = (specifier: string) => {
      asked.push(specifier);
      return Promise.resolve(acme);
    };
    for (const code of [new FormCode({}, modules), new FormCode({}, { 'acme-forms': () => acme })]) {
      const { validate, serializer, selectPartition } = await openForm(FORM, code, 'test');
      assert.equal(validate(5), null);
      assert.equal(validate('warm'), 'no number of K');
      assert.equal(serializer.deserialize(serializer.serialize(301)), 301);
      assert.equal(selectPartition!(7, null, 4), 3);
      const select = await openSelector(SPEC, code);
      const descriptor = { size: 10, inline: false };
      assert.deepEqual(
        [300, 301].map((metadata) => select({ metadata, descriptor })),
        ['none', 'all'],
      );
    }
    assert.deepEqual(new Set(asked), new Set(['acme-forms']));
  });

  it('are of no use when they fail, or export something else', async () => {
    const wrong: [module: unknown, message: RegExp][] = [
      [{}, /has no validator.*has to export a function validator\(options\)/],
      [{ ...acme, validator: 'yes' }, /has no validator/],
      [{ ...acme, validator: () => null }, /what the module "acme-forms" made is no validator/],
      [{ ...acme, serializer: () => ({ serialize() {} }) }, /is no serializer/],
      [
        {
          ...acme,
          partitionSelector: () => {
            throw new Error('no licence');
          },
        },
        /failed \(no licence\)/,
      ],
    ];
    for (const [module, message] of wrong)
      await assert.rejects(openForm(FORM, new FormCode({}, () => module as FormModule), 'test'), {
        code: 'MODULE',
        message,
      });
    const missing = new FormCode({}, (specifier) => import(specifier));
    await assert.rejects(openForm(FORM, missing, 'test'), { code: 'MODULE', message: /"acme-forms" failed/ });
  });
});

describe('code that an application registers', () => {
  it('is found by its name, and missed with what to set', async () => {
    const dataSelectors = { hot: () => 'all' as const };
    const code = new FormCode({ dataSelectors });
    const select = await openSelector({ type: 'custom', name: 'hot' }, code);
    assert.equal(select({ metadata: null, descriptor: { size: 1, inline: true } }), 'all');
    for (const name of ['cold', 'toString'])
      await assert.rejects(openSelector({ type: 'custom', name }, code), {
        code: 'INVALID_ARGUMENT',
        message: /is not registered; give it in the client's options: custom\.dataSelectors/,
      });
  });
});
