// Compiles TypeScript to dist/src, dist/compat-tests and dist/bench, and makes one program of what the `kafabric` command loads: a thousand
// small modules take longer to find than to run.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root, runOrExit } from './setup.mjs';

const program = join(root, 'dist/kafabric');
/** They find files of their own beside their modules, or are there only when somebody installs them. */
const notBundled = ['pino', 'pino-pretty', 'lz4', 'snappy', 'zstd-napi', '@platformatic/kafka'];

const compiler = join(root, 'node_modules/typescript/bin/tsc');
runOrExit(process.execPath, [compiler, '-p', 'tsconfig.json'], 'compiling TypeScript failed');

rmSync(program, { recursive: true, force: true });
await build({
  entryPoints: { main: join(root, 'dist/src/server/cli/main.js') },
  outdir: program,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  // V8 keeps the source for as long as the program runs. Names stay, and lines of a length at which an exception can show one.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 200,
  external: notBundled,
  // Packages in CommonJS ask for Node's modules by `require`. Node has globals by getters, which are called each time: here they are the modules' own.
  banner: {
    js: [
      "import { createRequire as createRequireOfBundle } from 'node:module';",
      "import { Buffer } from 'node:buffer';",
      "import { performance } from 'node:perf_hooks';",
      'const require = createRequireOfBundle(import.meta.url);',
    ].join('\n'),
  },
  logLevel: 'warning',
}).catch(() => process.exit(1));
