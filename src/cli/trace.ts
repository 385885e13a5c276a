/** `trace NAME`: draws what just happened to one name, from what the nodes that answer remember. */
import process from "node:process";
import { chartOf } from "../observe/chart.ts";
import { svgChart } from "../observe/chart_svg.ts";
import { textChart } from "../observe/chart_text.ts";
import type { TraceEvent } from "../observe/trace.ts";
import { webWorld } from "../client/world.ts";
import { urlsIn } from "./cluster.ts";
import { CommandError, EXIT_USAGE, oneLine, reportFailure } from "./report.ts";
import { fetchTrusting } from "./trust.ts";

const ANSWER_WITHIN_MS = 2_000;

export type NodeTrace = { readonly node: string; readonly events: readonly TraceEvent[] };

/** Draws to stdout; the exit code. */
export async function runTrace(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args.filter((arg) => arg !== "--svg");
  const [flag = "--noun", noun = "lock", ...more] = rest;
  if (name === undefined || flag !== "--noun" || rest.length === 1 || more.length > 0) {
    console.error("usage: trace NAME [--noun NOUN] [--svg], with the nodes' URLs in QUORATE_URL, comma between");
    return EXIT_USAGE;
  }
  try {
    const urls = urlsIn(process.env["QUORATE_URL"]);
    const fetch = await fetchTrusting(process.env["QUORATE_TLS_CA"]);
    const answers = await Promise.allSettled(
      urls.map((url) => traceFrom(url, noun, name, process.env["QUORATE_TOKEN"], fetch)),
    );
    for (const answer of answers) if (answer.status === "rejected") console.error(oneLine(answer.reason));
    const traces = answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : []);
    if (traces.length === 0) {
      throw new CommandError("no node that was asked is traced; start them with QUORATE_TRACE=1");
    }
    const chart = chartOf(traces.map(({ events }) => events), traces.map(({ node }) => node).sort());
    if (chart.rows.length === 0) throw new CommandError(`nothing is remembered of ${noun} ${name}`);
    console.log((args.includes("--svg") ? svgChart(chart) : textChart(chart)).trimEnd());
    return 0;
  } catch (error) {
    return reportFailure("trace", error);
  }
}

/** What one node remembers of a name. Rejects with one line that says why there is nothing. */
export async function traceFrom(
  url: string,
  noun: string,
  name: string,
  token?: string,
  fetch: typeof webWorld.fetch = webWorld.fetch,
): Promise<NodeTrace> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  // In the query, where every name there can be is written alike.
  const query = `name=${encodeURIComponent(name)}&noun=${encodeURIComponent(noun)}`;
  const response = await fetch(`${url}/v1/trace/-?${query}`, { headers, signal })
    .catch((error: Error) => {
      throw new CommandError(`${url} does not answer: ${error.message}`);
    });
  const body = await response.json().catch(() => ({})) as NodeTrace & { code?: string; detail?: string };
  if (body.code === "no-route") throw new CommandError(`${url} is not traced`);
  if (!response.ok) throw new CommandError(`${url} answers ${response.status}: ${body.detail ?? ""}`);
  return body;
}
