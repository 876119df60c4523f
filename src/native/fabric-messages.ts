import * as z from 'zod';

/** The version of what follows; ends with different ones do not attach. */
export const ATTACH_VERSION = 1;
const MAX_WAYS = 64;
const MAX_TEXT = 1000;
const MAX_ADDRESS = 4096;

const text = z.string().max(MAX_TEXT);
const base64 = z.base64().max(MAX_ADDRESS);
/** An unsigned number of 64 bits, in hexadecimal. */
const word = z
  .string()
  .regex(/^[0-9a-f]{1,16}$/)
  .transform((digits) => BigInt(`0x${digits}`));
const way = z.object({ provider: text, domain: text, network: text });
const round = z.int().min(0).max(1000);

/** What a target says. */
export const targetMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('offer'),
    version: z.int(),
    host: text,
    ways: z.array(way).max(MAX_WAYS),
  }),
  z.object({
    type: z.literal('ready'),
    round,
    answer: base64,
    probe: z.object({ address: word, key: word, content: base64 }),
  }),
  z.object({ type: z.literal('unable'), round, reason: text }),
  z.object({
    type: z.literal('publish'),
    region: word,
    address: word,
    key: word,
    length: word,
    access: z.int().min(1).max(3),
    expiresMs: z.int().min(0),
  }),
  z.object({ type: z.literal('withdraw'), region: word }),
  z.object({ type: z.literal('ping') }),
  z.object({ type: z.literal('detach'), reason: text }),
]);

/** What an initiator says. */
export const initiatorMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('choice'),
    round,
    attachment: word,
    way,
    offer: base64,
    heartbeatMs: z.int().min(0).max(3_600_000),
  }),
  z.object({ type: z.literal('attached'), round }),
  z.object({ type: z.literal('refused'), reason: text }),
  z.object({ type: z.literal('ping') }),
  z.object({ type: z.literal('detach'), reason: text }),
]);

export type TargetMessage = z.output<typeof targetMessage>;
export type InitiatorMessage = z.output<typeof initiatorMessage>;

/** A message as it goes out: numbers of 64 bits in hexadecimal. */
export function toWire(message: TargetMessage | InitiatorMessage): string {
  return JSON.stringify(message, (_key, value) => (typeof value === 'bigint' ? value.toString(16) : value));
}

/** Throws an Error that says what is wrong with it. */
export function fromWire<T>(schema: z.ZodType<T>, message: string): T {
  let parsed: unknown;
  try {
    parsed = JSON.parse(message);
  } catch {
    throw new Error('the peer sent what is no JSON');
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Error(`the peer sent an impossible message: ${issue?.path.join('.')} ${issue?.message}`);
}
