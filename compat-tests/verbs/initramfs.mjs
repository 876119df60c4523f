// The first file system of the machine: busybox, the kernel's modules in the order of their loading, and init.sh.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What the machine needs; what these need in turn the modules say themselves. */
const wanted = [
  ['virtio_pci', 'virtio_blk', 'virtio_net'],
  ['9p', '9pnet_virtio', 'overlay', 'ext4'],
  // By the names of algorithms, which no module lists: ext4's and RoCE's checksums.
  ['crc32c_generic', 'crc32_generic'],
  ['rdma_rxe', 'ib_uverbs', 'rdma_cm', 'rdma_ucm'],
].flat();

const nameOf = (file) => basename(file).replace(/\.ko$/, '').replaceAll('-', '_');

/** The files of modules, each behind those that it needs. `tree`: the package of the kernel, unpacked. */
function modulesInOrder(tree) {
  const modules = join(tree, 'usr/lib/modules');
  const folder = join(modules, readdirSync(modules)[0]);
  const files = new Map(
    readdirSync(folder, { recursive: true })
      .filter((file) => file.endsWith('.ko'))
      .map((file) => [nameOf(file), join(folder, file)]),
  );
  const builtIn = new Set(readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n').map(nameOf));
  const ordered = new Map();
  const add = (name) => {
    if (ordered.has(name) || builtIn.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw new Error(`the kernel in ${tree} has no module ${name}`);
    const content = readFileSync(file);
    const needs = /\0depends=([^\0]*)\0/.exec(content.toString('latin1'))?.[1] ?? '';
    for (const needed of needs.split(',').filter(Boolean)) add(needed.replaceAll('-', '_'));
    ordered.set(name, content);
  };
  for (const name of wanted) add(name);
  return ordered;
}

/** One entry of an archive in the format that the kernel unpacks ("newc" of cpio). */
function entry(name, mode, data = Buffer.alloc(0)) {
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  const padding = (length) => Buffer.alloc((4 - (length % 4)) % 4);
  return Buffer.concat([Buffer.from(header), padding(header.length), data, padding(data.length)]);
}

const FOLDER = 0o40755;
const PROGRAM = 0o100755;
const FILE = 0o100644;

/** `busybox` and `init`: files. */
export function makeInitramfs(kernelTree, busybox, init) {
  const modules = modulesInOrder(kernelTree);
  const folders = ['bin', 'dev', 'proc', 'sys', 'modules', 'host', 'packages', 'upper', 'new'];
  return Buffer.concat([
    ...folders.map((name) => entry(name, FOLDER)),
    entry('init', PROGRAM, readFileSync(init)),
    entry('bin/busybox', PROGRAM, readFileSync(busybox)),
    ...[...modules].map(([name, content]) => entry(`modules/${name}.ko`, FILE, content)),
    entry('modules/order', FILE, Buffer.from([...modules.keys(), ''].join('\n'))),
    entry('TRAILER!!!', 0),
  ]);
}
