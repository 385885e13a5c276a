/** Who was let in to read the metrics, by the digest of what it showed, so that nothing of use is kept. */

/** As many as there are scrapers; who comes after them waits for a node that answers. */
const READERS_MAX = 16;

export class MetricsReaders {
  readonly #digests = new Set<string>();

  /** What a node said of it. */
  async note(credential: string, isLetIn: boolean): Promise<void> {
    const digest = await digestOf(credential);
    if (!isLetIn) this.#digests.delete(digest);
    else if (this.#digests.size < READERS_MAX) this.#digests.add(digest);
  }

  async has(credential: string): Promise<boolean> {
    return this.#digests.has(await digestOf(credential));
  }
}

async function digestOf(credential: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(credential))).toHex();
}
