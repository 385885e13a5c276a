/** Takes what OpenTelemetry's exporters send over OTLP/HTTP as JSON, on 127.0.0.1. */
import { until } from "../replica/clocks.ts";

type Value = { readonly stringValue?: string; readonly intValue?: string; readonly doubleValue?: number };
export type Exported = {
  readonly name: string;
  /** 2: of a request that came, 3: of one that was sent. */
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: Value }[];
  readonly status?: { readonly code?: number };
};

export class Otlp {
  /** Bodies as they came, by the path they came to. */
  readonly bodies: { readonly path: string; readonly text: string }[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      this.bodies.push({ path: new URL(request.url).pathname, text: await request.text() });
      return Response.json({});
    });
  }

  /** For a process whose spans are to come here, and soon. */
  get env(): Readonly<Record<string, string>> {
    return {
      OTEL_DENO: "true",
      OTEL_DENO_TRACING: "false",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.#server.addr.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "50",
    };
  }

  get spans(): readonly Exported[] {
    return this.bodies.filter(({ path }) => path === "/v1/traces").flatMap(({ text }) =>
      JSON.parse(text).resourceSpans.flatMap((resource: { scopeSpans: { spans: Exported[] }[] }) =>
        resource.scopeSpans.flatMap(({ spans }) => spans)
      )
    );
  }

  /** Rejects with what came instead. */
  async until(what: string, test: (spans: readonly Exported[]) => boolean): Promise<readonly Exported[]> {
    await until(() => `${what}; it is ${JSON.stringify(this.spans, null, 1)}`, () => test(this.spans));
    return this.spans;
  }

  async stop(): Promise<void> {
    await this.#server.shutdown();
  }
}

export function attribute({ attributes }: Exported, key: string): string | undefined {
  const value = attributes.find((one) => one.key === key)?.value;
  return value?.stringValue ?? value?.intValue ?? value?.doubleValue?.toString();
}
