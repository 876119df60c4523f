// Builds the native addon (build/kafabric.node) with nothing but Node and a C/C++ compiler.
//
//   node scripts/build-native.mjs                          the addon, only what is out of date
//   node scripts/build-native.mjs --test                   the native unit tests; builds and runs them
//   node scripts/build-native.mjs --test --sanitize=address|thread
//   node scripts/build-native.mjs --test --build-only      built, not run
//
// Node's API headers come from the npm package node-api-headers; the compression libraries are compiled from
// the sources that the npm packages lz4, snappy and zstd-napi carry; zlib is found at run time (see native/codec).
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');

const thirdParty = [
  { dir: 'lz4/deps/lz4/lib', files: /^(lz4|lz4hc|lz4frame|xxhash)\.c$/, flags: ['-DXXH_NAMESPACE=LZ4_'] },
  { dir: 'snappy/deps/snappy/snappy-1.1.7', files: /^snappy(-sinksource|-stubs-internal|-c)?\.cc$/ },
  { dir: 'zstd-napi/deps/zstd/lib/common', files: /\.c$/ },
  { dir: 'zstd-napi/deps/zstd/lib/compress', files: /\.c$/ },
  { dir: 'zstd-napi/deps/zstd/lib/decompress', files: /\.c$/ },
];

const includes = [
  'native',
  'node_modules/node-api-headers/include',
  'node_modules/node-addon-api',
  'node_modules/lz4/deps/lz4/lib',
  'node_modules/snappy/deps/snappy/snappy-1.1.7',
  'node_modules/snappy/deps/snappy/linux/generic',
  'node_modules/zstd-napi/deps/zstd/lib',
]
  .map((dir) => `-I${join(root, dir)}`)
  // Others' headers, whose warnings are not ours.
  .concat('-isystem', join(root, 'native/third_party/libfabric'));

function sourcesUnder(dir, keep) {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.cc'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => keep(relative(join(root, 'native'), file)))
    .sort();
}

function thirdPartySources() {
  return thirdParty.flatMap(({ dir, files }) =>
    readdirSync(join(modules, dir))
      .filter((name) => files.test(name))
      .sort()
      .map((name) => join(modules, dir, name)),
  );
}

function findCompiler(names, what) {
  for (const name of names.filter(Boolean)) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return name;
  }
  console.error(
    `kafabric: no ${what} compiler found (tried ${names.filter(Boolean).join(', ')}).\n` +
      'Install one with:  sudo apt-get install g++     (Debian, Ubuntu)\n' +
      '                   sudo dnf install gcc-c++     (Fedora, RHEL)',
  );
  process.exit(1);
}

/** A source is out of date when it, a header that it included last time, or the command has changed. */
function isStale(object, depFile, command) {
  if (!existsSync(object) || !existsSync(depFile) || !existsSync(`${object}.cmd`)) return true;
  if (readFileSync(`${object}.cmd`, 'utf8') !== command) return true;
  const built = statSync(object).mtimeMs;
  return dependencies(readFileSync(depFile, 'utf8')).some(
    (file) => !existsSync(file) || statSync(file).mtimeMs > built,
  );
}

/** The files that a compiler's rule for make names behind `object: `, where spaces within names have a backslash before them. */
function dependencies(rule) {
  return rule
    .slice(rule.indexOf(': ') + 1)
    .replace(/\\\n/g, ' ')
    .split(/(?<!\\)\s+/)
    .filter(Boolean)
    .map((file) => file.replace(/\\([ #])/g, '$1').replaceAll('$$', '$'));
}

function run(command, args) {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('close', (code, signal) => {
      if (signal) console.error(`kafabric: ${command} was ended by ${signal}`);
      done(code ?? 1);
    });
    child.on('error', () => done(1));
  });
}

/** Warnings are errors while this is developed. Other compilers warn of more, and must build it nevertheless. */
const isStrict = process.argv.includes('--test') || process.env.CI === 'true';

async function compile({ compiler, args }) {
  const code = await run(compiler, args);
  if (code === 0 || isStrict) return code;
  return run(
    compiler,
    args.filter((arg) => arg !== '-Werror'),
  );
}

async function compileAll(sources, objectDir, flags) {
  mkdirSync(objectDir, { recursive: true });
  const cc = findCompiler([process.env.CC, 'cc', 'gcc', 'clang'], 'C');
  const cxx = findCompiler([process.env.CXX, 'c++', 'g++', 'clang++'], 'C++');
  const jobs = sources.map((source) => {
    const third = thirdParty.find(({ dir }) => dirname(source) === join(modules, dir));
    const compiler = source.endsWith('.c') ? cc : cxx;
    const language = source.endsWith('.c') ? [] : ['-std=c++17'];
    const warnings = third ? ['-w'] : ['-Wall', '-Wextra', '-Werror', '-Wno-missing-field-initializers'];
    const tag = createHash('sha1').update(source).digest('hex').slice(0, 8);
    const object = join(objectDir, `${source.split('/').pop()}.${tag}.o`);
    const depFile = `${object}.d`;
    const args = [
      ...language,
      ...flags,
      ...(third?.flags ?? []),
      ...warnings,
      ...includes,
      '-MMD',
      '-MF',
      depFile,
      '-c',
      source,
      '-o',
      object,
    ];
    const command = [compiler, ...args].join(' ');
    return { source, object, depFile, compiler, args, command };
  });
  const stale = jobs.filter((job) => isStale(job.object, job.depFile, job.command));
  if (stale.length > 0)
    console.log(`compiling ${stale.length} native source${stale.length > 1 ? 's' : ''} ...`);
  let failed = false;
  const worker = async () => {
    for (let job = stale.shift(); job && !failed; job = stale.shift()) {
      // What a killed compiler leaves is out of date.
      rmSync(`${job.object}.cmd`, { force: true });
      if ((await compile(job)) !== 0) {
        failed = true;
        console.error(`kafabric: compiling ${relative(root, job.source)} failed`);
      } else writeFileSync(`${job.object}.cmd`, job.command);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failed) process.exit(1);
  return { objects: jobs.map((job) => job.object), cxx };
}

async function link(output, objects, cxx, flags) {
  const newest = Math.max(...objects.map((file) => statSync(file).mtimeMs));
  if (existsSync(output) && statSync(output).mtimeMs > newest) return;
  // What a killed linker leaves is not the output.
  const linked = `${output}.new`;
  if ((await run(cxx, [...flags, '-o', linked, ...objects, '-ldl', '-lpthread'])) !== 0) process.exit(1);
  renameSync(linked, output);
}

const optimise = ['-O2', '-g1', '-fPIC', '-fvisibility=hidden', '-pthread', '-DNDEBUG'];
const coreFlags = [
  '-DNAPI_VERSION=9',
  '-DNODE_ADDON_API_CPP_EXCEPTIONS',
  // Those of the standard library, too, such as of a lack of memory: without this the process would abort.
  '-DNODE_ADDON_API_CPP_EXCEPTIONS_ALL',
  // A worker that is being terminated can no longer throw; without this the process would abort.
  '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
  '-DZSTD_DISABLE_ASM=1',
];

async function buildAddon() {
  const sources = [
    ...sourcesUnder(join(root, 'native'), (file) => !file.startsWith('test/')),
    ...thirdPartySources(),
  ];
  const { objects, cxx } = await compileAll(sources, join(root, 'build/addon'), [...optimise, ...coreFlags]);
  await link(join(root, 'build/kafabric.node'), objects, cxx, ['-shared', '-pthread', '-static-libgcc']);
}

async function buildAndRunTests(sanitizer) {
  const flags = ['-O1', '-g', '-pthread', '-DZSTD_DISABLE_ASM=1'];
  const sanitize = sanitizer ? [`-fsanitize=${sanitizer}`, '-fno-omit-frame-pointer'] : [];
  const dir = join(root, `build/native-test${sanitizer ? `-${sanitizer}` : ''}`);
  const own = sourcesUnder(join(root, 'native'), (file) => !file.startsWith('binding/'));
  const { objects, cxx } = await compileAll([...own, ...thirdPartySources()], dir, [...flags, ...sanitize]);
  const program = join(dir, 'native-test');
  await link(program, objects, cxx, ['-pthread', ...sanitize]);
  if (process.argv.includes('--build-only')) return;
  process.exitCode = await run(
    program,
    process.argv.filter((arg) => arg.startsWith('--filter=')),
  );
}

const sanitizer = process.argv.find((arg) => arg.startsWith('--sanitize='))?.slice('--sanitize='.length);
if (process.argv.includes('--test')) await buildAndRunTests(sanitizer);
else await buildAddon();
