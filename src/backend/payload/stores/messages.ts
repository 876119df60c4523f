import * as z from 'zod';
import { TIER_ORDINALS } from '../../../config/definitions/index.ts';

/** The version of what follows; ends with different ones do not talk. */
export const STORE_VERSION = 6;

/** Of a frame of the control connection; what comes before authentication is small. */
export const MAX_FRAME_BYTES = 1 << 20;
export const MAX_GREETING_BYTES = 4096;

/** The largest extent, by what one transfer may carry. */
export const MAX_EXTENT_BYTES = 2 ** 31;

/** Files that one answer lists. */
export const LIST_PAGE = 1000;

/** Ranges that one request has a store give back. */
export const PUNCHED_RANGES = 4096;

/** Partitions of which one request says where they are to stay. */
export const PINNED_PARTITIONS = 1000;

/** The most that one request leaves out. */
export const MAX_SKIPPED_BYTES = 4 << 20;

/** The most that a measurement moves at a time. */
export const MAX_MEASURED_BYTES = 16 << 20;

/** The region that is a gateway's arena. */
export const ARENA_REGION = 1n;

const MAX_TEXT = 1000;
/** A host's name and a port. */
const MAX_HOST = 300;
/** Stores that one store passes an append on to. */
const MAX_ONWARD = 7;
/** What libfabric and TCP call addresses, in base64. */
const MAX_ADDRESS = 4096;
/** A storage tier of a store, from 0 on; one that it has not is its last. */
export const pinnedTier = z
  .int()
  .min(0)
  .max(TIER_ORDINALS.length - 1);
const text = z.string().max(MAX_TEXT);
const nonce = z.string().regex(/^[0-9a-f]{64}$/);
const identifier = z.string().regex(/^[\w-]{1,64}$/);
const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const extent = z.int().min(0).max(MAX_EXTENT_BYTES);
const crc = z.int().min(0).max(0xffffffff);
const word = z.string().regex(/^[0-9a-f]{1,16}$/);
const timeoutMs = z.int().min(1).max(3_600_000);
/** `<partition>/<segment>-<incarnation>`; see `storedName`. */
const file = z
  .string()
  .max(300)
  .regex(/^[\w.-]{1,200}-\d{1,10}\.[\w-]{22}\/\d{20}-[0-9a-f]{16}$/);

/** As `partitionName`. */
const partition = z
  .string()
  .max(300)
  .regex(/^[\w.-]{1,200}-\d{1,10}\.[\w-]{22}$/);

/** What a store says first. */
const challenge = z.object({
  type: z.literal('challenge'),
  version: z.int(),
  nonce,
  store: identifier,
});

const refused = z.object({ type: z.literal('refused'), reason: text });

/** What a gateway hears first; a store that does not like its certificate says so at once. */
export const opening = z.discriminatedUnion('type', [challenge, refused]);

/** Who wants to talk to it, and the proof that he knows the secret. */
export const answer = z.object({
  type: z.literal('answer'),
  version: z.int(),
  role: z.enum(['gateway', 'operator', 'store']),
  cluster: identifier,
  node: z.int(),
  via: identifier.optional(),
  nonce,
  proof: nonce,
});

/** The store's proof, and who it is. */
export const welcome = z.discriminatedUnion('type', [
  z.object({ type: z.literal('welcome'), proof: nonce, store: identifier, zone: text, host: text }),
  refused,
]);

/** What gateways and operators ask for. */
export const operation = z.discriminatedUnion('op', [
  z.object({ op: z.literal('status') }),
  z.object({ op: z.literal('drain'), on: z.boolean() }),
  z.object({ op: z.literal('list'), after: z.union([z.literal(''), file]) }),
  /**
   * `segmentBytes`: what it may grow to, where that is known. `mayLose`: nobody was promised that it outlasts a restart of the machine; otherwise it
   * does. `tier`: in which it is to stay.
   */
  z.object({
    op: z.literal('create'),
    file,
    segmentBytes: bytes.optional(),
    mayLose: z.boolean().optional(),
    tier: pinnedTier.optional(),
  }),
  /** In which tier the files of partitions are to stay from now on; null: in none. Of a partition without files it says nothing. */
  z.object({
    op: z.literal('pin'),
    pins: z.array(z.object({ partition, tier: pinnedTier.nullable() })).max(PINNED_PARTITIONS),
  }),
  /** From now on appends may be passed on to that store. */
  z.object({ op: z.literal('relay'), store: identifier, address: z.string().max(MAX_HOST) }),
  /**
   * Takes the bytes from the gateway's arena and puts them to the end of the file, which is at `position`. `onward`: stores that are to take them from
   * this one, and their files, which end there too.
   */
  z.object({
    op: z.literal('append'),
    file,
    position: bytes,
    length: extent,
    source: bytes,
    key: word,
    fromMemory: z.boolean(),
    timeoutMs,
    onward: z
      .array(z.object({ store: identifier, file }))
      .max(MAX_ONWARD)
      .optional(),
  }),
  /** Leaves out bytes at the end of the file, which is at `position`: zeros that take no space. */
  z.object({ op: z.literal('skip'), file, position: bytes, length: z.int().min(1).max(MAX_SKIPPED_BYTES) }),
  /** What was appended is durable. */
  z.object({ op: z.literal('sync'), file }),
  /**
   * Cuts the file to `bytes`, durably; it takes no more. EBADMSG if it has less for sure: what was acknowledged is known, also after a crash of
   * the store. With `trust`, what may be space without content counts too, but not what a failed write or flush has left out.
   */
  z.object({ op: z.literal('seal'), file, bytes, trust: z.boolean() }),
  /** Puts bytes of the file into the gateway's arena. */
  z.object({
    op: z.literal('read'),
    file,
    position: bytes,
    length: extent,
    seed: crc,
    target: bytes,
    key: word,
    timeoutMs,
  }),
  /** CRC-32C of bytes of the file. */
  z.object({ op: z.literal('check'), file, position: bytes, length: extent, seed: crc }),
  /** Gives back the space of ranges of a complete file: positions and lengths by turns, ascending. It keeps its length. */
  z.object({
    op: z.literal('punch'),
    file,
    ranges: z
      .array(bytes)
      .min(2)
      .max(2 * PUNCHED_RANGES),
  }),
  z.object({ op: z.literal('remove'), file }),
  /** Begins a measurement, one at a time: what the gateway's transport has to answer. */
  z.object({ op: z.literal('bare') }),
  /** How fast bytes go from the gateway's arena, or into it, and how fast they do in a loop that does nothing else. `answer`: to that of `bare`. */
  z.object({
    op: z.literal('measure'),
    write: z.boolean(),
    answer: z.base64().max(MAX_ADDRESS),
    offset: bytes,
    length: z.int().min(1).max(MAX_MEASURED_BYTES),
    key: word,
    timeoutMs,
  }),
]);

export type Operation = z.output<typeof operation>;

const status = z.object({
  capacityBytes: bytes,
  freeBytes: bytes,
  usedBytes: bytes,
  files: bytes,
  draining: z.boolean(),
  nowMs: z.number(),
  /** Why it takes nothing new, for people; empty or not there while it does. `freeBytes` is 0 then. */
  trouble: text.optional(),
  /** Which directories of its tiers are out of use, for people: what is there may be unavailable. Not there while none is. */
  outage: text.optional(),
});
export type StoreStatus = z.output<typeof status>;

const listed = z.object({ file, bytes, sealed: z.boolean() });
export type ListedFile = z.output<typeof listed>;

const none = z.object({});

/** A copy at a store that an append was passed on to, and why there is none. */
const failedCopy = z.object({ store: identifier, code: z.string().max(40), message: text });

/** `limit...`: of the loop that does nothing else. Medians: of the time that 4 KiB take. */
const measured = z.object({
  bytesPerSecond: z.number().min(0),
  limitBytesPerSecond: z.number().min(0),
  medianMs: z.number().min(0),
  limitMedianMs: z.number().min(0),
});
export type Measured = z.output<typeof measured>;

/** What each operation answers. */
export const results = {
  status,
  drain: none,
  list: z.object({ files: z.array(listed).max(LIST_PAGE), more: z.boolean() }),
  create: none,
  pin: none,
  relay: none,
  append: z.object({ failed: z.array(failedCopy).max(MAX_ONWARD).default([]) }),
  skip: none,
  sync: none,
  seal: none,
  read: z.object({ crc, length: extent }),
  check: z.object({ crc, length: extent }),
  punch: z.object({ held: bytes }),
  remove: none,
  bare: z.object({ offer: z.base64().max(MAX_ADDRESS) }),
  measure: measured,
} as const;

export type ResultOf<O extends Operation['op']> = z.output<(typeof results)[O]>;

const id = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

/** What comes to a store after the welcome. `attach`: a message of the fabric's attachment. */
export const toStore = z.discriminatedUnion('type', [
  z.object({ type: z.literal('attach'), message: z.string() }),
  z.object({ type: z.literal('request'), id, operation }),
]);

export const fromStore = z.discriminatedUnion('type', [
  z.object({ type: z.literal('attach'), message: z.string() }),
  z.object({ type: z.literal('done'), id, result: z.unknown() }),
  z.object({ type: z.literal('failed'), id, code: z.string().max(40), message: text }),
  z.object({ type: z.literal('status'), status }),
  /** The gateway is to end the segment: the file is to be moved, or there is no room for more of it where it is. */
  z.object({ type: z.literal('end'), file }),
]);

export type ToStore = z.output<typeof toStore>;
export type FromStore = z.output<typeof fromStore>;

/** Throws an Error that says what is wrong with it. */
export function parseMessage<T>(schema: z.ZodType<T>, message: string): T {
  let parsed: unknown;
  try {
    parsed = JSON.parse(message);
  } catch {
    throw new Error('what came is no JSON');
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Error(`an impossible message came: ${issue?.path.join('.')} ${issue?.message}`);
}

/** Errors of a store, with a code of the system (`ENOSPC`, `ENOENT`, `EBADMSG`, ...). */
export class StoreError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
