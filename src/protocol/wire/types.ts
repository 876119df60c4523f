/** A Kafka uuid in Kafka's own text form: 22 characters of base64url without padding. */
export type Uuid = string;

export const ZERO_UUID: Uuid = 'AAAAAAAAAAAAAAAAAAAAAA';

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Bytes that the program passes on without seeing them: a range of native memory or of a file. */
export interface Segment {
  readonly byteLength: number;
}

/** A part of a message on its way out. A Segment that is no Uint8Array is opaque to this layer. */
export type Piece = Uint8Array | Segment;

/** Record batches of a message: bytes when reading; when writing also a list of pieces, sent in order. */
export type RecordsPayload = Uint8Array | readonly Piece[] | null;
