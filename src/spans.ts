/** Spans of OpenTelemetry, as the rest of a node knows them; src/observe/spans.ts makes them. */

/** How a request ended: `route` as the document has its path, null for what has none; `error` is a word for what failed. */
export type SpanEnd = { readonly route?: string | null; readonly status?: number; readonly error?: string | null };
export type Span = {
  /** As a header says it; null: the span is not recorded, and what is done for it is not either. */
  readonly traceparent: string | null;
  end(how: SpanEnd): void;
};

/** Spans of OpenTelemetry. Callers ask `on` first, so that those that are off cost nothing. */
export interface Spans {
  readonly on: boolean;
  /** The recorded span that the caller runs in, as `traceparent`; null: none. */
  here(): string | null;
  /** Runs `run` in the span of a request that came, which `run` ends; `traceparent` is what came with it. */
  serve<T>(method: string, traceparent: string | null, run: (span: Span) => T): T;
  /** The span of a request to a peer, for work of these spans, the first of which is its parent. */
  ask(peer: string, mailbox: string, of: readonly string[]): Span;
}

const NO_SPAN: Span = { traceparent: null, end: () => {} };

export const NO_SPANS: Spans = {
  on: false,
  here: () => null,
  serve: (_method, _traceparent, run) => run(NO_SPAN),
  ask: () => NO_SPAN,
};
