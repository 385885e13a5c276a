/** The client's end of a stream of server-sent events. */
export type SeenEvent = { readonly event: string; readonly id: string | null; readonly data: Record<string, unknown> };

/** Reads event by event; comments are skipped. `next` resolves with null at the end. */
export class EventReader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";
  comments = 0;

  constructor(response: Response) {
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  async next(): Promise<SeenEvent | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { done, value } = await this.#reader.read();
        if (done) return null;
        this.#text += value;
        continue;
      }
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      // Nothing of a block without data comes to a reader, though it may have told when to come again.
      if (!/^data:/m.test(block)) this.comments++;
      else return parse(block);
    }
  }

  /** Events up to the first that fits. */
  async until(test: (event: SeenEvent) => boolean): Promise<SeenEvent[]> {
    const seen: SeenEvent[] = [];
    for (let event = await this.next(); event !== null; event = await this.next()) {
      seen.push(event);
      if (test(event)) return seen;
    }
    throw new Error(`the stream ended after ${JSON.stringify(seen.slice(-3))}`);
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }
}

function parse(block: string): SeenEvent {
  const fields = new Map(
    block.split("\n").map((line) => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon), line.slice(colon + 2)] as const;
    }),
  );
  return {
    event: fields.get("event") ?? "message",
    id: fields.get("id") ?? null,
    data: JSON.parse(fields.get("data") ?? "null"),
  };
}
