import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { environmentVariable } from '../sources.ts';
import { parseValue } from '../value.ts';
import { brokerDefinitions, brokerDefinitionsByName, topicKeyDefinitions } from './index.ts';

describe('configuration definitions', () => {
  it('have defaults that their own validation accepts, and documentation', () => {
    for (const definition of [...brokerDefinitions, ...topicKeyDefinitions]) {
      if (definition.default !== null) {
        const result = parseValue(definition, definition.default);
        assert.ok('value' in result, `${definition.name}=${definition.default}: ${JSON.stringify(result)}`);
      }
      assert.match(definition.documentation, /\.$/, definition.name);
    }
  });

  it('are named once in each scope, and have environment variables of their own', () => {
    const names = brokerDefinitions.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    assert.equal(new Set(names.map(environmentVariable)).size, names.length);
    const topicNames = topicKeyDefinitions.map(({ name }) => name);
    assert.equal(new Set(topicNames).size, topicNames.length);
  });

  it('give topic keys the same default through the broker as by themselves', () => {
    for (const { name, default: text, synonyms } of topicKeyDefinitions) {
      const values = synonyms.map((synonym) => {
        const definition = brokerDefinitionsByName.get(synonym.name);
        assert.ok(definition, `${name} names the unknown broker key ${synonym.name}`);
        return definition.default === null ? null : scaled(definition.default, synonym.factor);
      });
      const effective = values.find((value) => value !== null);
      if (synonyms.length > 0) assert.equal(effective, text, name);
    }
  });
});

function scaled(text: string, factor: number | undefined): string {
  return factor === undefined ? text : String(BigInt(text) * BigInt(factor));
}
