/** The spans of this process, where OpenTelemetry is turned on for it by the runtime's own variables. */
import { createSpans, type Telemetry } from "../observe/spans.ts";
import type { Report } from "../ports.ts";
import type { Spans } from "../spans.ts";
import { VERSION } from "../version.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * @param node what it is called in them
 * @param report told if the runtime makes spans besides, whose URLs have names of users in them
 */
export function spansHere(node: string, env: Env, report: Report): Spans {
  if (!isOn(env)) return createSpans(null);
  if (isTrue(env["OTEL_DENO_TRACING"]) || env["OTEL_DENO_TRACING"] === undefined) {
    const line =
      "the runtime's own spans are on: they hold URLs, and so names of locks; OTEL_DENO_TRACING=false ends them";
    report(`${line}, and leaves this node's`, { event: "runtime-spans", level: "warn" });
  }
  return createSpans({ node, version: VERSION, telemetry: Deno.telemetry as unknown as Telemetry });
}

function isOn(env: Env): boolean {
  if (isTrue(env["OTEL_SDK_DISABLED"]) || env["OTEL_TRACES_EXPORTER"] === "none") return false;
  return isTrue(env["OTEL_DENO"]);
}

/** As the runtime reads it. */
function isTrue(text: string | undefined): boolean {
  return text === "1" || text?.toLowerCase() === "true";
}
