// The virtual machine of test:verbs, made of Debian's packages: a kernel with soft-RoCE, busybox, and QEMU where it is not installed. It sees the
// host's files, so that Node, libfabric, the build and the clients are there as they are here.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeInitramfs } from './initramfs.mjs';
import { behind, lacking, Missing, unpack } from './packages.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const QEMU = 'qemu-system-x86_64';
const recipe = ['machine.mjs', 'initramfs.mjs', 'init.sh', 'packages.mjs'];
/** What processes in the machine use beside what is installed here. */
const guestPackages = ['libfabric1', 'ibverbs-providers', 'iproute2', 'e2fsprogs'];
const DISK_BYTES = 16 * 2 ** 30;

function pathOf(program) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file)) ?? null;
}

function isUsable(file) {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** What init.sh says first. */
export const FIRST_WORDS = 'machine: up';

/**
 * What can run the machine, best first: `kvm` is the processor itself, and not what it seems everywhere (there are hosts on which machines of this
 * kind never get to their first word); `tcg` translates every instruction, and all takes ten times as long.
 */
export function accelerators() {
  return isUsable('/dev/kvm') ? ['kvm', 'tcg'] : ['tcg'];
}

async function makeImage(folder) {
  const work = `${folder}.new`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const kernel = await behind('linux-image-amd64');
  console.log(`making the machine of ${kernel} ...`);
  await unpack([kernel], join(work, 'kernel'));
  await unpack(['busybox-static'], join(work, 'busybox'));
  const boot = join(work, 'kernel/boot');
  const image = readdirSync(boot).find((name) => name.startsWith('vmlinuz'));
  copyFileSync(join(boot, image), join(work, 'vmlinuz'));
  const busybox = join(work, 'busybox/usr/bin/busybox');
  writeFileSync(join(work, 'initramfs'), makeInitramfs(join(work, 'kernel'), busybox, join(here, 'init.sh')));
  for (const name of ['kernel', 'busybox']) rmSync(join(work, name), { recursive: true });
  await unpack(await lacking(guestPackages), join(work, 'packages'));
  if (pathOf(QEMU) === null) await unpack(await lacking(['qemu-system-x86', 'seabios']), join(work, 'qemu'));
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
}

/**
 * The folder with the kernel and what it starts with; made when the recipe has changed. Throws Missing where it cannot be had. Remove the folder
 * for newer packages.
 */
export async function prepareMachine(cache) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Missing(`the machine is made for Linux on x86-64, this is ${process.platform} ${process.arch}`);
  const hash = createHash('sha256');
  for (const file of recipe) hash.update(readFileSync(join(here, file)));
  const folder = join(cache, 'machine');
  const stamp = join(folder, 'recipe');
  const wanted = hash.digest('hex');
  const isCurrent = existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (isCurrent && (pathOf(QEMU) !== null || existsSync(join(folder, 'qemu')))) return folder;
  await makeImage(folder);
  writeFileSync(stamp, wanted);
  return folder;
}

/** How QEMU is called: the installed one, or what was unpacked. */
function qemu(machine) {
  const installed = pathOf(QEMU);
  if (installed !== null) return { program: installed, options: [], env: {} };
  const root = join(machine, 'qemu/usr');
  const libraries = ['lib/x86_64-linux-gnu', 'lib'].map((name) => join(root, name)).join(':');
  return {
    program: join(root, 'bin', QEMU),
    options: ['share/qemu', 'share/seabios'].flatMap((name) => ['-L', join(root, name)]),
    env: { LD_LIBRARY_PATH: libraries, QEMU_MODULE_DIR: join(root, 'lib/x86_64-linux-gnu/qemu') },
  };
}

function folderDevice(tag, path, readOnly) {
  const options = `security_model=none,multidevs=remap${readOnly ? ',readonly=on' : ''}`;
  return [
    '-fsdev',
    `local,id=${tag},path=${path},${options}`,
    '-device',
    `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
  ];
}

/**
 * Starts the machine; it runs `run.sh` of the folder `shared`, writes there, and ends by itself. Returns the process, whose output is the
 * machine's console, and which ends with this one.
 */
export function startMachine(machine, shared, { accelerator, megabytes, processors }) {
  const disk = join(shared, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, DISK_BYTES);
  const { program, options, env } = qemu(machine);
  const command = [
    program,
    ...options,
    // arch-capabilities: a register that nested hosts refuse to set.
    [
      '-accel',
      accelerator,
      '-cpu',
      'max,-arch-capabilities',
      '-machine',
      'q35',
      '-nodefaults',
      '-no-user-config',
    ],
    [
      '-m',
      String(megabytes),
      '-smp',
      String(processors),
      '-display',
      'none',
      '-no-reboot',
      '-serial',
      'stdio',
    ],
    ['-kernel', join(machine, 'vmlinuz'), '-initrd', join(machine, 'initramfs')],
    // tsc: without KVM the kernel does not trust it, and asks a device for the time. no_timer_check: on a busy host its interrupts come late.
    // mitigations: nobody else is in the machine.
    [
      '-append',
      'console=ttyS0 quiet loglevel=4 reboot=t panic=-1 random.trust_cpu=on tsc=reliable no_timer_check mitigations=off',
    ],
    // No way out of the machine: the card only carries the device.
    ['-netdev', 'user,id=net,restrict=on', '-device', 'virtio-net-pci,netdev=net,romfile='],
    [
      '-drive',
      `file=${disk},if=none,id=disk,format=raw,cache=unsafe`,
      '-device',
      'virtio-blk-pci,drive=disk',
    ],
    folderDevice('host', '/', true),
    folderDevice('packages', join(machine, 'packages'), true),
    folderDevice('shared', shared, false),
  ].flat();
  // When this process is killed there is nobody left to end it.
  const setpriv = pathOf('setpriv');
  const whole = setpriv === null ? command : [setpriv, '--pdeathsig', 'KILL', ...command];
  return spawn(whole[0], whole.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
}
