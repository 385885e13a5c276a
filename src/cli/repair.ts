/** `repair`: what each node's record of one name is, what a repair of those that are wrong will do, and, told to, that. */
import type { Repaired, RepairMember, RepairPlan } from "../api.ts";
import type { Calls } from "../client/calls.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import { asked, cells, show } from "./ask.ts";
import type { Cluster, Common } from "./cluster.ts";
import { print } from "./output.ts";
import { EXIT_FAILED, oneLine, UsageError } from "./report.ts";
import { jsonLine } from "./tell.ts";

export type RepairFlags = Common & { readonly noun: string; readonly yes?: true; readonly accept?: string };
type Plan = RepairPlan & { readonly node: string };
type Answered = { readonly url: string; readonly plan: Plan };
type Silent = { readonly url: string; readonly error: string };
type About = { readonly noun: string; readonly name: string };

const NOUNS = Object.keys(KEY_PREFIXES);
/** A node asks each member, and a member that is away is waited for. */
const PLAN_WITHIN_MS = 10_000;
const REPAIR_WITHIN_MS = 20_000;
const NODE_SLACK_MS = 5_000;

/** The exit code: 0 if no record is wrong, or none is left that is. */
export function runRepair(name: string, flags: RepairFlags): Promise<number> {
  return asked("repair", flags, async ({ calls, urls }: Cluster) => {
    const { noun, yes, accept, json } = flags;
    if (!NOUNS.includes(noun)) throw new UsageError(`--noun: "${noun}" is not one of ${NOUNS.join(", ")}`);
    const about = { noun, name };
    const found = await Promise.all(urls.map((url) => planOf(calls, url, about)));
    const answered = distinct(found);
    const silent = found.filter((one): one is Silent => "error" in one);
    const wrong = answered.filter(({ plan }) => plan.action !== "none");
    if (accept !== undefined && wrong.length > 1) {
      throw new UsageError(
        `--accept: ${wrong.map(({ plan }) => plan.node).join(", ")} are wrong; --url is to name one`,
      );
    }
    if (json === true) {
      const plans = wrong.map(({ plan: { node, action, detail } }) => ({ node, action, detail }));
      print(jsonLine({ ...about, members: membersOf(answered), plans, silent }));
    } else for (const line of linesOf(answered, wrong, silent)) print(line);
    if (wrong.length === 0) return answered.length > 0 && silent.length === 0 ? 0 : EXIT_FAILED;
    if (yes !== true) {
      if (json !== true) print("nothing was changed; with --yes this is done");
      return EXIT_FAILED;
    }
    // One after another: each that is sound again may be what the next one lacks.
    for (const { url, plan } of wrong) {
      // It is tried all the same, as members may come back; nobody should take the silence for a hang.
      if (plan.action === "wait" && accept === undefined) {
        console.error(`${oneLine(plan.node)} waits up to ${REPAIR_WITHIN_MS / 1_000} s for that`);
      }
      const body = { ...about, ...(accept === undefined ? {} : { accept }) };
      const target = `/v1/repair?timeoutMs=${REPAIR_WITHIN_MS}`;
      const call = { method: "POST", target, body, isUntimed: true, waitMs: REPAIR_WITHIN_MS } as const;
      const untilMs = calls.clock.now() + REPAIR_WITHIN_MS + NODE_SLACK_MS;
      const limits = { nodes: [url], isOnce: true, untilMs } as const;
      const { body: done } = await calls.json<Repaired & { readonly node: string }>(call, limits);
      const { node, outcome, instance, hash } = done;
      show(flags, done, cells(node, outcome, instance, hash));
    }
    return 0;
  });
}

async function planOf(calls: Calls, url: string, { noun, name }: About): Promise<Answered | Silent> {
  const target = `/v1/repair?noun=${noun}&name=${encodeURIComponent(name)}`;
  const call = { method: "GET", target, isUntimed: true } as const;
  try {
    const limits = { nodes: [url], isOnce: true, signal: AbortSignal.timeout(PLAN_WITHIN_MS) } as const;
    return { url, plan: (await calls.json<Plan>(call, limits)).body };
  } catch (error) {
    return { url, error: oneLine(error) };
  }
}

/** Several URLs may lead to one node. */
function distinct(found: readonly (Answered | Silent)[]): readonly Answered[] {
  const byNode = new Map<string, Answered>();
  for (const one of found) if ("plan" in one && !byNode.has(one.plan.node)) byNode.set(one.plan.node, one);
  return [...byNode.values()];
}

/** Each as its own node says; if that was not asked, as another one does. */
function membersOf(answered: readonly Answered[]): readonly RepairMember[] {
  const members = new Map<string, RepairMember>();
  for (const { plan } of answered) {
    for (const member of plan.members) {
      if (member.id === plan.node || !members.has(member.id)) members.set(member.id, member);
    }
  }
  return [...members.values()].sort((a, b) => a.id < b.id ? -1 : 1);
}

function linesOf(
  answered: readonly Answered[],
  wrong: readonly Answered[],
  silent: readonly Silent[],
): readonly string[] {
  const members = membersOf(answered).map(({ id, record, instance, hash, reason }) =>
    cells(id, record, instance, hash, reason === undefined ? "" : oneLine(reason))
  );
  return [
    ...members,
    ...silent.map(({ url, error }) => cells("?", url, error)),
    ...wrong.map(({ plan: { node, action, detail } }) => cells(node, action, oneLine(detail))),
    ...(wrong.length === 0 && answered.length > 0 ? ["no record that was asked about is wrong"] : []),
  ];
}
