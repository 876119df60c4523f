import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TIER_ORDINALS } from '../../../../config/definitions/index.ts';
import { arenaStats, NativeMemory } from '../../../../native/arena.ts';
import { crc32c } from '../../../../native/batch.ts';
import { type OpenOptions, Store } from '../../../../native/store.ts';
import type { Appended, AppendOptions, StoreFile } from '../../../../native/store-file.ts';
import { systemClock } from '../../../../util/clock.ts';
import { silentLogger } from '../../../../util/logger.ts';
import { filesBelow } from '../../../../util/testing/files-below.ts';
import { STORE_NODE } from '../../tiers/identity.ts';
import { TieredStorage, type TieredStorageOptions, type TierFiles } from '../../tiers/tiered-storage.ts';
import { StoreDirectory, type Surroundings } from './store-directory.ts';
import type { StoredFile } from './stored-file.ts';
import type { AppendSource } from './stored-file-parts.ts';

export const GATEWAY = { role: 'gateway', cluster: 'c', node: 1 } as const;
export const PARTITION = 't-0.AAAAAAAAAAAAAAAAAAAABQ';
export const nameOf = (segment: number) =>
  `${PARTITION}/${String(segment).padStart(20, '0')}-0123456789abcdef`;

/** A file that is begun. */
export const NEW = { segmentBytes: 1 << 20, mayLose: false, tier: null, recycledBytes: 0 } as const;

/** The tiers of a store in `at`, one directory for each; nothing moves unless `more` says so. */
export function testTiers(
  at: string,
  files: TierFiles,
  tiers: readonly { readonly type: string; readonly path: string; readonly sizeBytes: number }[],
  more: Partial<TieredStorageOptions> = {},
): Surroundings['openTiers'] {
  return (id, isOwner) =>
    TieredStorage.open({
      tiers: tiers.map(({ type, ...path }, i) => ({ ordinal: TIER_ORDINALS[i]!, type, paths: [path] })),
      logDirectories: [at],
      owner: { clusterId: id, nodeId: STORE_NODE },
      ...{ isOwner, files, clock: systemClock, logger: silentLogger },
      settings: () => ({ threshold: -1, bytesPerSecond: -1 }),
      threads: 1,
      isBusy: () => false,
      ...more,
    });
}

/** What a test has the disk do instead. `path`: of the file. Each may throw, or do it after something has happened. */
export interface Faults {
  append?(path: string, doIt: () => Appended): Appended;
  sync?(path: string, doIt: () => Promise<void>): Promise<void>;
  truncate?(path: string, doIt: () => Promise<void>): Promise<void>;
  open?(path: string, doIt: () => Promise<StoreFile>): Promise<StoreFile>;
}

export function diskError(code: string, message = `no luck: ${code}`): Error {
  return Object.assign(new Error(message), { code });
}

/** A store over a disk that has the faults of the moment. */
export function faultyStore(store: Store, faults: Faults): Store {
  const open = async (path: string, options?: OpenOptions) => {
    const doIt = () => store.open(path, options);
    return faultyFile(await (faults.open?.(path, doIt) ?? doIt()), faults);
  };
  return withMethods(store, { open });
}

function faultyFile(file: StoreFile, faults: Faults): StoreFile {
  const { path } = file;
  return withMethods(file, {
    append: (pieces: Parameters<StoreFile['append']>[0], options?: AppendOptions) => {
      const doIt = () => file.append(pieces, options);
      return faults.append?.(path, doIt) ?? doIt();
    },
    sync: () => faults.sync?.(path, () => file.sync()) ?? file.sync(),
    truncate: (size: number) => faults.truncate?.(path, () => file.truncate(size)) ?? file.truncate(size),
  });
}

function withMethods<T extends object>(target: T, methods: Record<string, unknown>): T {
  return new Proxy(target, {
    get(of, name) {
      if (typeof name === 'string' && name in methods) return methods[name];
      const value: unknown = Reflect.get(of, name, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
}

/** A store's directory in this process, on a disk with faults if wanted, as it is, and as it would be found had the process been killed now. */
export class TestDirectory {
  readonly root = mkdtempSync(join(tmpdir(), 'stored-files-'));
  readonly faults: Faults = {};
  directory!: StoreDirectory;
  store!: Store;
  #native!: Store;
  #path = join(this.root, '0');
  #crashes = 0;

  get path(): string {
    return this.#path;
  }

  async open(): Promise<StoreDirectory> {
    this.#native = new Store({ threads: 2 });
    this.store = faultyStore(this.#native, this.faults);
    this.directory = await StoreDirectory.open(this.#path, this.store, async () => undefined);
    return this.directory;
  }

  async close(): Promise<void> {
    await this.directory.close();
    await this.#native.shutdown();
  }

  async reopen(): Promise<StoreDirectory> {
    await this.close();
    return this.open();
  }

  /**
   * Opens what is on the disk now; files that take appends look as after a kill, with space behind what they have. `damage`: what else has
   * happened to it.
   */
  async crash(damage: (path: string) => void = () => undefined): Promise<StoreDirectory> {
    const copy = join(this.root, String(++this.#crashes));
    cpSync(this.#path, copy, { recursive: true, filter: (name) => !name.endsWith('.lock') });
    for (const name of filesOf(copy, '.open')) truncateSync(name, 1 << 20);
    damage(copy);
    await this.close();
    this.#path = copy;
    return this.open();
  }

  async end(): Promise<void> {
    await this.close();
    rmSync(this.root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  }
}

/** Paths of all files below a directory with this suffix, sorted. */
export function filesOf(path: string, suffix: string): string[] {
  return filesBelow(path)
    .filter((file) => file.endsWith(suffix))
    .sort();
}

/** `bytes` as what is appended; `before`: what happens before they come. */
export function sourceOf(bytes: Buffer, before?: () => Promise<void>): AppendSource {
  return {
    fromMemory: false,
    allocate: async (length) => NativeMemory.allocate(length) ?? assert.fail('no memory'),
    freed: () => undefined,
    fill: (memory, offset, from, length, filled) => {
      const fill = async () => {
        await before?.();
        const part = bytes.subarray(from, from + length);
        memory.bytes().set(part, offset);
        return crc32c(part);
      };
      fill().then(
        (crc) => filled.resolve(crc),
        (error: Error) => filled.reject(error),
      );
    },
  };
}

export function append(
  file: StoredFile,
  position: number,
  bytes: Buffer,
  before?: () => Promise<void>,
): Promise<void> {
  return file.append(position, bytes.byteLength, sourceOf(bytes, before));
}

/** What a file gives for a range; nothing behind its end. */
export async function contentOf(file: StoredFile, position: number, length: number): Promise<Buffer> {
  const read = await file.read(position, length, 0);
  if (read === null) return Buffer.alloc(0);
  const bytes = Buffer.from(read.piece.bytes());
  read.piece.memory.release();
  return bytes;
}

/** Resolves, and lets whoever awaits `passed` go on, when `open` is called. */
export function gate(): { passed: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
