// Compiles TypeScript to dist/src, dist/compat-tests and dist/bench, and makes one program of what the `kafabric` command loads: a thousand
// small modules take longer to find than to run.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const program = join(root, 'dist/kafabric');
/** They find files of their own beside their modules, or are there only when somebody installs them. */
const notBundled = ['pino', 'pino-pretty', 'lz4', 'snappy', 'zstd-napi', '@platformatic/kafka'];

const compiler = join(root, 'node_modules/typescript/bin/tsc');
const compiled = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (compiled.status !== 0) process.exit(1);

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
  external: notBundled,
  // Packages in CommonJS ask for Node's modules by `require`.
  banner: {
    js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
  },
  logLevel: 'warning',
}).catch(() => process.exit(1));
