/** `doctor`: asks each node how it is, and prints what is wrong with the cluster and what to do, the worst first. */
import type { NodeStatus } from "../api.ts";
import type { Examined, Finding } from "../operate/diagnose.ts";
import { diagnose, isHealthy } from "../operate/diagnose.ts";
import { asked, cells } from "./ask.ts";
import { type Cluster, type Common, tokenOf } from "./cluster.ts";
import { print } from "./output.ts";
import { EXIT_FAILED, oneLine } from "./report.ts";
import { jsonLine } from "./tell.ts";

type Asking = Pick<Cluster, "fetch"> & { readonly token: string | undefined };

const ANSWER_WITHIN_MS = 3_000;
/** No answer of a node is as long; what is somebody else's is not read to its end. */
const ANSWER_MAX_CHARS = 1_000_000;

/** The exit code: 0 if nothing is wrong, 1 if something is. @param urls in place of --url */
export function runDoctor(urls: readonly string[], flags: Common): Promise<number> {
  const all = urls.length === 0 ? flags : { ...flags, url: urls.join(",") };
  return asked("doctor", all, async ({ urls, fetch }: Cluster) => {
    const by = { fetch, token: await tokenOf(flags) };
    const examined = await Promise.all(urls.map((url) => examine(url, by)));
    const findings = diagnose(examined);
    const healthy = isHealthy(findings);
    const nodes = examined.map(({ url, status }) => ({
      url,
      ...(status === null ? {} : { id: status.id, voting: status.voting, version: status.version }),
    }));
    if (flags.json) print(jsonLine({ healthy, nodes, findings }));
    else for (const line of linesOf(findings, healthy, examined)) print(line);
    return healthy ? 0 : EXIT_FAILED;
  });
}

function linesOf(findings: readonly Finding[], healthy: boolean, examined: readonly Examined[]): readonly string[] {
  const lines = findings.flatMap(({ severity, check, what, advice }) => [
    cells(severity, check, oneLine(what)),
    ...(severity === "info" ? [] : [`\t\tdo: ${advice}`]),
  ]);
  const there = examined.filter(({ status }) => status !== null).length;
  return healthy ? [...lines, `healthy: ${there} of ${examined.length} URLs answer, nothing is wrong`] : lines;
}

/** Never rejects: what fails is what it found. */
async function examine(url: string, by: Asking): Promise<Examined> {
  const ask = (path: string) => textOf(`${url}${path}`, by);
  const [status, ready, metrics] = await Promise.all([statusOf(url, by), ask("/readyz?verbose"), ask("/metrics")]);
  const lines = (ready?.text ?? "").matchAll(/^\[-\] (\w+) failing: (.+)$/gm);
  const counted = metrics?.status === 200 ? /^quorate_rate_limited_total (\d+)$/m.exec(metrics.text)?.[1] : undefined;
  return {
    url,
    ...status,
    failing: Object.fromEntries([...lines].map(([, check, why]) => [check!, why!])),
    rateLimited: counted === undefined ? null : Number(counted),
  };
}

type OfStatus = Pick<Examined, "status" | "error" | "isRefused" | "clock">;

async function statusOf(url: string, by: Asking): Promise<OfStatus> {
  const none = { status: null, isRefused: false, clock: null };
  const sentMs = Date.now();
  const began = performance.now();
  try {
    const answer = await answerOf(`${url}/v1/status`, by);
    const tookMs = performance.now() - began;
    const { code, detail } = answer.body;
    if (answer.status === 401 || answer.status === 403) {
      return { ...none, isRefused: true, error: `refuses this token: ${detail ?? code ?? answer.status}` };
    }
    if (answer.status !== 200) return { ...none, error: `answers ${answer.status}: ${detail ?? code ?? "no reason"}` };
    if (!isStatus(answer.body)) return { ...none, error: "answers, but is no node" };
    const status = answer.body;
    const theirMs = Date.parse(status.clock);
    // Asked and answered at some moment between: half of that is how wrong the middle can be.
    const clock = Number.isNaN(theirMs) ? null : { aheadMs: theirMs - (sentMs + tookMs / 2), withinMs: tookMs / 2 + 1 };
    return { status, error: null, isRefused: false, clock };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const isLate = error instanceof DOMException && error.name === "TimeoutError";
    return {
      ...none,
      error: isLate ? `gives no answer in ${ANSWER_WITHIN_MS} ms` : `does not answer: ${oneLine(cause)}`,
    };
  }
}

/** What the findings rest on; a node of another version may say more, or less. */
function isStatus(body: object): body is NodeStatus {
  const { id, cluster, members, voting, version } = body as Partial<NodeStatus>;
  return [id, cluster, version].every((text) => typeof text === "string") && typeof voting === "boolean" &&
    Array.isArray(members) && members.every((member) => typeof Object(member).id === "string");
}

type Body = { readonly code?: string; readonly detail?: string };

async function answerOf(url: string, by: Asking): Promise<{ readonly status: number; readonly body: Body }> {
  const { status, text } = await fetched(url, by);
  try {
    return { status, body: Object(JSON.parse(text)) };
  } catch {
    return { status, body: {} };
  }
}

async function textOf(url: string, by: Asking): Promise<{ readonly status: number; readonly text: string } | null> {
  return await fetched(url, by).catch(() => null);
}

async function fetched(
  url: string,
  { fetch, token }: Asking,
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  // Somebody else's server must not be handed the token by a redirect.
  const response = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > ANSWER_MAX_CHARS) break;
  }
  return { status: response.status, text };
}
