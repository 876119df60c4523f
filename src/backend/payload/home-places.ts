import { join } from 'node:path';
import { flatPath } from '../../util/flat-path.ts';
import type { FoundPayload, PayloadPlace, PayloadPlaces } from './ports.ts';
import { makeDirectory } from './small-files.ts';

export const PAYLOAD_SUFFIX = '.payload';
export const EXTENTS_SUFFIX = '.extents';

/** Where the lists of extents of a partition are, and its payload unless that is in other places. */
export function payloadDirectory(partitionDirectory: string): string {
  return flatPath(partitionDirectory, 'payload');
}

/** `segment` identifies the files; ids rise within a partition, and so do the offsets that refer to them. */
export function payloadPath(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(20, '0')}${PAYLOAD_SUFFIX}`);
}

export function extentsPath(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(20, '0')}${EXTENTS_SUFFIX}`);
}

/** The segment whose payload file has this name; null for any other name. */
export function segmentOfPayload(name: string): number | null {
  return segmentOf(name, PAYLOAD_SUFFIX);
}

/** The segment whose list of extents has this name; null for any other name. */
export function segmentOfExtents(name: string): number | null {
  return segmentOf(name, EXTENTS_SUFFIX);
}

function segmentOf(name: string, suffix: string): number | null {
  if (!name.endsWith(suffix)) return null;
  const digits = name.slice(0, -suffix.length);
  return /^\d{20}$/.test(digits) ? Number(digits) : null;
}

/** Payload in the partition's own directory: nobody counts, and nothing moves. */
export class HomePlaces implements PayloadPlaces {
  readonly outage: string | null;
  #directory: string;
  #ready: Promise<unknown> | null = null;

  /** `outage`: why payload may be elsewhere, where nobody looks; null: it is not. */
  constructor(directory: string, outage: string | null = null) {
    this.#directory = directory;
    this.outage = outage;
  }

  attach(): void {}

  configure(): void {}

  relocated(directory: string): void {
    this.#directory = directory;
    this.#ready = null;
  }

  async find(names: readonly string[]): Promise<FoundPayload[]> {
    const found: FoundPayload[] = [];
    for (const name of names) {
      const segmentId = segmentOfPayload(name);
      if (segmentId !== null)
        found.push({ segmentId, place: homePlace(join(this.#directory, name), Promise.resolve()) });
    }
    return found;
  }

  place(segmentId: number): PayloadPlace {
    this.#ready ??= makeDirectory(this.#directory);
    this.#ready.catch(() => {
      this.#ready = null;
    });
    return homePlace(payloadPath(this.#directory, segmentId), this.#ready);
  }
}

/** Stands for a file that is where nobody can look now. */
export function absentPlace(path: string, outage: string): PayloadPlace {
  return Object.assign(homePlace(path, Promise.resolve()), { outage });
}

/** A file that nobody counts, and that does not move. */
export function homePlace(path: string, ready: Promise<unknown>): PayloadPlace {
  const place = {
    path,
    isHome: true as const,
    ready,
    outage: null,
    hasRoomFor: () => true,
    resized() {},
    completed() {},
    failed() {},
    removed() {},
    relocated(to: string) {
      place.path = to;
    },
  };
  return place;
}
