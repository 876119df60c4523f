// Prints the steps of a Dockerfile as a shell script, for check-fresh.sh: it proves them where there is no Docker engine. The stages share one file
// system, so COPY --from copies from where the earlier stage put things.
//   node scripts/dockerfile-steps.mjs <Dockerfile> <context>
import { readFileSync } from 'node:fs';

const [file, context] = process.argv.slice(2);
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
let user = 'root';
let entrypoint = [];

function copy(words) {
  const fromStage = words[0].startsWith('--from=');
  const paths = fromStage ? words.slice(1) : words;
  const target = paths.at(-1);
  const sources = paths.slice(0, -1).map((path) => (fromStage ? path : `${context}/${path}`));
  const folder = target.endsWith('/') ? target : target.replace(/[^/]*$/, '') || '.';
  return `mkdir -p ${folder} && cp -r ${sources.join(' ')} ${target}`;
}

function step(instruction, rest) {
  switch (instruction) {
    case 'FROM':
    case 'VOLUME':
    case 'EXPOSE':
    case 'HEALTHCHECK':
    case 'STOPSIGNAL':
      return '';
    case 'RUN':
      return rest;
    case 'WORKDIR':
      return `mkdir -p ${rest} && cd ${rest}`;
    case 'COPY':
      return copy(rest.split(/\s+/));
    case 'ENV':
      return `export ${rest}`;
    case 'USER':
      user = rest;
      return '';
    case 'ENTRYPOINT':
      entrypoint = JSON.parse(rest);
      return '';
    case 'CMD':
      return `exec setpriv --reuid ${user} --regid ${user} --clear-groups ${[...entrypoint, ...JSON.parse(rest)].map(quoted).join(' ')}`;
    default:
      throw new Error(`cannot prove ${instruction}`);
  }
}

const lines = readFileSync(file, 'utf8')
  .replace(/^\s*#.*\n/gm, '')
  .replace(/\\\n\s*/g, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '');
for (const line of lines) {
  const [, instruction, rest] = /^(\S+)\s+(.*)$/.exec(line.trim());
  const text = step(instruction, rest);
  if (text !== '') console.log(text);
}
