import {
  type ConfigDefinition,
  type ConfigEntry,
  describeAllowed,
  environmentVariable,
  groupKeyDefinitions,
  type KafabricConfig,
  topicKeyDefinitions,
} from '../../config/index.ts';

const hidden = '[hidden]';

/** What `kafabric config` prints. Markdown is the table of docs/configuration.md and holds no effective values. */
export function configCommand(config: KafabricConfig, format: 'text' | 'json' | 'markdown'): string {
  const entries = [...config.entries(), ...config.listenerEntries()];
  switch (format) {
    case 'json':
      return `${JSON.stringify(entries.map(jsonEntry), null, 2)}\n`;
    case 'markdown':
      return markdown(config.entries().map(({ definition }) => definition));
    case 'text':
      return entries.map(textEntry).join('\n');
  }
}

function shown({ definition, text }: ConfigEntry): string | null {
  return definition.sensitive && text !== null ? hidden : text;
}

function jsonEntry(entry: ConfigEntry) {
  const { name, type, default: defaultValue, documentation } = entry.definition;
  return {
    name,
    type,
    value: shown(entry),
    default: defaultValue,
    source: entry.source,
    origin: entry.origin || null,
    allowed: describeAllowed(entry.definition),
    environment: environmentVariable(name),
    documentation,
  };
}

function textEntry(entry: ConfigEntry): string {
  const { definition, source, origin } = entry;
  const from =
    source === 'default' ? 'default' : `${source}: ${origin}; default ${definition.default ?? 'none'}`;
  return (
    `${definition.name}=${shown(entry) ?? ''}\n` +
    `    ${definition.documentation}\n` +
    `    ${definition.type}, ${describeAllowed(definition)} (${from})\n`
  );
}

function markdown(broker: readonly ConfigDefinition[]): string {
  const differing = broker.filter(({ kafkaDefault }) => kafkaDefault !== undefined);
  return [
    '# Configuration',
    '',
    'Generated from `src/config/definitions/` by `npm run docs`. Keys that Apache Kafka has keep its names and meanings. A value comes from the default,',
    'the properties file (`--config`), the environment (`KAFABRIC_LOG_DIRS` for `log.dirs`; `KAFKA_LOG_DIRS` is read too) or `--override key=value`, each',
    'winning over the one before; keys marked per-broker or cluster-wide can be changed at run time by `kafka-configs`.',
    '',
    "## Where the default differs from Apache Kafka's",
    '| Key | Default | Kafka | Why |',
    '|---|---|---|---|',
    ...differing.map(
      (d) =>
        `| \`${d.name}\` | ${code(d.default)} | ${code(d.kafkaDefault!.value)} | ${d.kafkaDefault!.reason} |`,
    ),
    '',
    '## Broker keys',
    '| Key | Type | Default | Allowed | Change | Meaning |',
    '|---|---|---|---|---|---|',
    ...broker.map((d) => `| ${row(d)} | ${d.update ?? 'read-only'} | ${d.documentation} |`),
    '',
    '## Topic keys',
    '| Key | Type | Default | Allowed | Broker key | Meaning |',
    '|---|---|---|---|---|---|',
    ...topicKeyDefinitions.map(
      (d) => `| ${row(d)} | ${d.synonyms.map(({ name }) => `\`${name}\``).join(', ')} | ${d.documentation} |`,
    ),
    '',
    '## Group keys',
    '| Key | Type | Default | Allowed | Meaning |',
    '|---|---|---|---|---|',
    ...groupKeyDefinitions.map((d) => `| ${row(d)} | ${d.documentation} |`),
    '',
  ].join('\n');
}

function row(definition: ConfigDefinition): string {
  const { name, type, default: defaultValue } = definition;
  return `\`${name}\` | ${type} | ${code(defaultValue)} | ${describeAllowed(definition)}`;
}

function code(value: string | null): string {
  return value === null || value === '' ? '' : `\`${value}\``;
}
