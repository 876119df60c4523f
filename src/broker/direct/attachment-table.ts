/** What belongs to a connection, which alone can name it. */
export interface Owned {
  readonly id: bigint;
  readonly owner: object;
}

/** One attachment for each connection at the most; it ends with the connection. */
export class AttachmentTable<A extends Owned> {
  readonly #ended: (attachment: A) => void;
  readonly #byId = new Map<bigint, { readonly attachment: A; readonly forget: () => void }>();
  readonly #byOwner = new WeakMap<object, A>();

  /** @param ended gives back what an attachment holds; called once for each */
  constructor(ended: (attachment: A) => void) {
    this.#ended = ended;
  }

  /** @param closed aborted when the connection closes; it may be already */
  add(attachment: A, closed: AbortSignal): void {
    const { id, owner } = attachment;
    const end = () => this.end(attachment);
    this.#byId.set(id, { attachment, forget: () => closed.removeEventListener('abort', end) });
    this.#byOwner.set(owner, attachment);
    closed.addEventListener('abort', end, { once: true });
    if (closed.aborted) end();
  }

  /** The attachment of a connection. */
  of(owner: object): A | null {
    const attachment = this.#byOwner.get(owner);
    return attachment !== undefined && this.#byId.has(attachment.id) ? attachment : null;
  }

  /** The attachment of this connection; null when there is none with this number. */
  find(id: bigint, owner: object): A | null {
    const attachment = this.#byId.get(id)?.attachment;
    return attachment?.owner === owner ? attachment : null;
  }

  end(attachment: A): void {
    const entry = this.#byId.get(attachment.id);
    if (entry === undefined) return;
    this.#byId.delete(attachment.id);
    entry.forget();
    this.#ended(attachment);
  }

  endAll(): void {
    for (const attachment of [...this.all()]) this.end(attachment);
  }

  get size(): number {
    return this.#byId.size;
  }

  *all(): Generator<A> {
    for (const { attachment } of this.#byId.values()) yield attachment;
  }
}
