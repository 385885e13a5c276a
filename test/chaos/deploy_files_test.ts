/** The dashboard and the alert rules of docs/deploy: all that they ask for is there, on a real node. */
import { assert, assertEquals } from "@std/assert";
import { page, quoted, tableRows } from "../pages.ts";
import { ComposedCluster } from "./composed.ts";
import { type Scraped, scraped } from "../observe/exposition.ts";

const FOLDER = new URL("../../docs/deploy/", import.meta.url);
const ALERTS = await Deno.readTextFile(new URL("alerts.yml", FOLDER));
const DASHBOARD = await Deno.readTextFile(new URL("dashboard.json", FOLDER));
/** Labels that come with the scrape, or with a histogram. */
const OTHERS = ["instance", "job", "le"];
const NAMES = [
  "NoQuorum",
  "MemberDown",
  "NotVoting",
  "KeyStopped",
  "PeerSlow",
  "CommitSlow",
  "FastShareLow",
  "RecoveriesHigh",
  "LapsesHigh",
  "OldestWaitHigh",
  "OutcomeUnknown",
  "DiskFull",
];

type Panel = { readonly title: string; readonly targets: readonly { readonly expr: string }[] };
const panels = (JSON.parse(DASHBOARD) as { readonly panels: readonly Panel[] }).panels;
const EXPRESSIONS = [
  ...[...ALERTS.matchAll(/^ +expr: (.+)$/gm)].map(([, expr]) => expr!),
  ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
];

/** What an expression names that a node does not have. */
function missingIn(
  expression: string,
  { families }: Scraped,
  labels: ReadonlyMap<string, readonly string[]>,
): string[] {
  const missing: string[] = [];
  const known: string[] = [...OTHERS];
  for (const [name] of expression.matchAll(/\bquorate_\w+/g)) {
    const base = name.replace(/_(bucket|count|sum)$/, "");
    const family = families.get(name) ?? families.get(base);
    const isHistogram = families.get(base)?.kind === "histogram";
    if (family === undefined || isHistogram !== (name !== base)) missing.push(name);
    // A counter alone grows for ever.
    else if (family.kind === "gauge" && /\b(rate|increase)\(\w+/.exec(expression)?.[0].endsWith(name)) {
      missing.push(name);
    }
    known.push(...labels.get(base) ?? []);
  }
  for (const [, matchers] of expression.matchAll(/\{([^}]*)\}/g)) {
    for (const [, label] of matchers!.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
      if (!known.includes(label!)) missing.push(label!);
    }
  }
  for (const [, by] of expression.matchAll(/\bby \(([^)]*)\)/g)) {
    missing.push(...by!.split(",").map((label) => label.trim()).filter((label) => !known.includes(label)));
  }
  return missing;
}

function labelsOf(): ReadonlyMap<string, readonly string[]> {
  return new Map(tableRows(page("docs/metrics.md")).map(([name, labels]) => [quoted(name!)[0] ?? "", quoted(labels!)]));
}

async function scrapeReal(): Promise<{ readonly text: string; readonly found: Scraped }> {
  let text = "";
  await ComposedCluster.with(1, async (cluster) => {
    await cluster.start("a", "a.sqlite", ["--init"]);
    await cluster.vote("a");
    assertEquals((await cluster.ask("a", "POST", "/v1/locks/x", {})).status, 200);
    text = (await cluster.ask("a", "GET", "/metrics")).text;
  });
  return { text, found: scraped(text) };
}

Deno.test("deploy files: every metric and label that the dashboard and the alerts name is a real node's", async () => {
  const { found } = await scrapeReal();
  const labels = labelsOf();
  assert(EXPRESSIONS.length > 40, `${EXPRESSIONS.length} expressions`);
  for (const expression of EXPRESSIONS) assertEquals(missingIn(expression, found, labels), [], expression);
  // The dashboard shows all there is.
  const shown = new Set(
    panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => expr.match(/quorate_\w+/g) ?? [])),
  );
  const all = [...shown].map((name) => name.replace(/_(bucket|count|sum)$/, ""));
  assertEquals([...found.families.keys()].filter((name) => !all.includes(name)), []);
  // It can complain.
  for (
    const wrong of [
      "quorate_nothing > 1",
      "rate(quorate_quorum[5m])",
      "quorate_peer_round_trip_seconds > 1",
      'quorate_grants_total{name="x"}',
      "sum by (subject) (quorate_grants_total)",
    ]
  ) assertEquals(missingIn(wrong, found, labels).length, 1, wrong);
});

Deno.test("deploy files: the alerts are these; runbook_test has what is said of each", () => {
  const alerts = [...ALERTS.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name!);
  assertEquals(alerts, NAMES);
});

async function promtool(
  args: readonly string[],
  input: string,
): Promise<{ readonly code: number; readonly said: string }> {
  const child = new Deno.Command("promtool", { args: [...args], stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** Where there is none, even to try to run it throws. */
async function isHere(): Promise<boolean> {
  try {
    return (await new Deno.Command("promtool", { args: ["--version"], stdout: "null", stderr: "null" }).output())
      .success;
  } catch {
    return false;
  }
}
const hasPromtool = await isHere();
Deno.test({
  name: `deploy files: promtool finds nothing wrong${hasPromtool ? "" : ": SKIPPED, no promtool on PATH"}`,
  ignore: !hasPromtool,
  fn: async () => {
    const rules = await promtool(["check", "rules", new URL("alerts.yml", FOLDER).pathname], "");
    assertEquals(rules.code, 0, rules.said);
    assert(rules.said.includes(`${NAMES.length} rules found`), rules.said);
    const metrics = await promtool(["check", "metrics"], (await scrapeReal()).text);
    assertEquals([metrics.code, metrics.said.trim()], [0, ""]);
  },
});
