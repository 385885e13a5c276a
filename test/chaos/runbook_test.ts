/** docs/runbook.md: each alert and each symptom has its section, whose commands say of a real cluster in that state what stands there. */
import { assert, assertEquals } from "@std/assert";
import { parse } from "yaml";
import { sha256Hex } from "../../src/auth/digest.ts";
import { NODE_RUN } from "../../src/cli/node_process.ts";
import { shellWord } from "../../src/cli/shell_word.ts";
import { page, quoted, ROOT, tableRows } from "../pages.ts";
import { until } from "../replica/clocks.ts";
import { call, RealCluster } from "./real_cluster.ts";
import { deployFile } from "./service_files.ts";
import { runShell } from "../shell_block.ts";

const PAGE = "docs/runbook.md";
const TOKEN = "of-this-test-only";
const TOKENS = JSON.stringify([{ subject: "ops", sha256: sha256Hex(TOKEN), scopes: ["*:read,write:*", "admin:*"] }]);
const AUTHORIZATION = { authorization: `Bearer ${TOKEN}` };

type Step = { readonly script: string; readonly printed: readonly string[] };
type Section = { readonly title: string; readonly text: string; readonly steps: readonly Step[] };

/** The first is what stands before any of them. */
const SECTIONS: readonly Section[] = page(PAGE).split(/^## /m).map((text, index) => ({
  title: index === 0 ? "" : text.slice(0, text.indexOf("\n")),
  text,
  steps: [...text.matchAll(/^```sh\n([\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm)].map((
    [, script, printed],
  ) => ({
    script: script!,
    printed: (printed ?? "").split("\n").filter((line) => line !== ""),
  })),
}));

type Rule = { readonly alert: string; readonly annotations: Readonly<Record<string, string>> };

/** What of these rules no section answers, or what leads elsewhere. */
function unanswered(rules: readonly Rule[], titles: readonly string[]): string[] {
  return rules.filter(({ alert, annotations }) =>
    !titles.includes(alert) || annotations["runbook_url"] !== `${PAGE}#${alert.toLowerCase()}`
  ).map(({ alert }) => alert);
}

async function rules(): Promise<readonly Rule[]> {
  return parse(await deployFile("alerts.yml")).groups.flatMap((group: { rules: readonly Rule[] }) => group.rules);
}

Deno.test("docs/runbook.md: each alert leads to its section, and each section has commands and what to do", async () => {
  const titles = SECTIONS.map(({ title }) => title);
  const all = await rules();
  assert(all.length >= 12);
  assertEquals(unanswered(all, titles), []);
  // It can complain: of a section that is gone, and of a rule that leads to another.
  assertEquals(unanswered(all, titles.filter((title) => title !== "MemberDown")), ["MemberDown"]);
  assertEquals(unanswered([{ alert: "NoQuorum", annotations: { runbook_url: `${PAGE}#diskfull` } }], titles), [
    "NoQuorum",
  ]);
  for (const { title, text, steps } of SECTIONS) {
    assert(steps.length > 0, `${title} has no command`);
    const prose = text.replace(/^```[\s\S]*?^```$/gm, "").split("\n").slice(1).join(" ").trim();
    assert(prose.length > 60, `${title} says little`);
  }
});

Deno.test("docs/runbook.md: the symptoms that other pages tell of have a section", () => {
  const all = quoted(page(PAGE)).join("\n") + SECTIONS.map(({ title }) => title).join("\n");
  const told = [page("README.md"), page("docs/faq.md")].join("\n");
  const codes = new Set(
    [...told.matchAll(/`?(?:429|50[34]) `?([a-z]+(?:-[a-z]+)+|overloaded)`/g)].map(([, code]) => code!),
  );
  assert(codes.size >= 2, [...codes].join());
  for (const code of [...codes, "no-quorum", "rate-limited"]) assert(all.includes(code), code);
});

Deno.test("docs/runbook.md: whatever the doctor looks at leads somewhere", async () => {
  const source = await Deno.readTextFile(new URL("src/operate/diagnose.ts", ROOT));
  const checks = new Set(
    [...source.matchAll(/\bcheck: "(\w+)"|\bsay\(\s*"\w+",\s*"(\w+)"/g)].map(([, named, said]) => named ?? said!),
  );
  assert(checks.size > 10, [...checks].join());
  const [, ...rows] = tableRows(SECTIONS[0]!.text);
  assertEquals(rows.flatMap(([said]) => quoted(said!)).sort(), [...checks].sort());
});

class Typed {
  readonly cluster: RealCluster;

  constructor(cluster: RealCluster) {
    this.cluster = cluster;
  }

  async status(id: string): Promise<Record<string, unknown>> {
    return (await call(this.cluster.url(id), "GET", "/v1/status", undefined, AUTHORIZATION))?.body ?? {};
  }

  /** Until each of these says something is wrong with c. */
  untilMissed(...ids: readonly string[]): Promise<void> {
    return until("they miss c", async () => {
      const all = await Promise.all(ids.map((id) => this.status(id)));
      return all.every(({ members }) =>
        (members as { id: string; fault?: { cause: string } }[] | undefined)
          ?.some(({ id, fault }) => id === "c" && fault?.cause === "refused") === true
      );
    });
  }

  /** Until everybody reaches everybody. */
  untilWell(): Promise<void> {
    return until("all are well", async () => {
      const all = await Promise.all(this.cluster.ids.map((id) => this.status(id)));
      return all.every(({ voting, members }) =>
        voting === true && (members as { fault?: unknown }[]).every(({ fault }) => fault === undefined)
      );
    });
  }
}

/** What is so while a section's commands run; what it returns ends that. */
const STATES: Readonly<Record<string, (typed: Typed) => Promise<() => Promise<void>>>> = {
  async NoQuorum(typed) {
    await Promise.all(["b", "c"].map((id) => typed.cluster.kill(id)));
    await until("a is not ready", async () =>
      (await fetch(`${typed.cluster.url("a")}/readyz`).then(async (r) => {
        await r.body?.cancel();
        return r.status;
      })) === 503);
    return async () => {
      await Promise.all(["b", "c"].map((id) => typed.cluster.startNode(id)));
    };
  },
  async MemberDown(typed) {
    await typed.cluster.end("c");
    await typed.untilMissed("a", "b");
    return () => typed.cluster.startNode("c");
  },
  async NotVoting(typed) {
    const { cluster } = typed;
    const move = async (from: string, to: string) => {
      for (const end of ["", "-wal", "-shm"]) await Deno.rename(`${from}${end}`, `${to}${end}`).catch(() => {});
    };
    await cluster.end("c");
    const [store, kept] = [cluster.store("c"), `${cluster.store("c")}.kept`];
    await move(store, kept);
    // As where somebody has mounted the wrong disk.
    await cluster.startNode("c", [], { ready: false });
    await until("c answers", async () => (await typed.status("c"))["voting"] === false);
    return async () => {
      await cluster.end("c");
      await move(store, `${store}.empty`);
      await move(kept, store);
      await cluster.startNode("c");
    };
  },
  async FastShareLow({ cluster }) {
    assertEquals((await call(cluster.url("a"), "PUT", "/v1/kv/x", 1, AUTHORIZATION))?.status, 200);
    return () => Promise.resolve();
  },
  async LapsesHigh(typed) {
    await take(typed, { holder: "ci-1", ttlMs: 1_000 });
    return await take(typed, { holder: "ci-2", ttlMs: 600_000, waitMs: 60_000 });
  },
  OldestWaitHigh: (typed) => take(typed, { holder: "ci-1", ttlMs: 600_000 }),
  "A lock is held, and nobody works under it": (typed) => take(typed, { holder: "ci-1", ttlMs: 600_000 }),
};

/** Takes `deploy`; what it returns gives it back. */
async function take({ cluster }: Typed, body: object): Promise<() => Promise<void>> {
  const taken = await call(cluster.url("b"), "POST", "/v1/locks/deploy", body, AUTHORIZATION);
  assertEquals(taken?.status, 200);
  return async () => {
    await call(cluster.url("a"), "DELETE", `/v1/locks/deploy/${taken!.body["fence"]}`, undefined, AUTHORIZATION);
  };
}

const asPattern = (line: string) =>
  new RegExp(`^${line.split("…").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join(".*")}$`, "m");

Deno.test("docs/runbook.md: its commands print what stands there, of a cluster in that state", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "quorate-runbook-" });
  const cluster = await RealCluster.start(3, 0, { env: { QUORATE_TOKENS: TOKENS }, isolates: 1 });
  const typed = new Typed(cluster);
  try {
    const main = new URL("src/cli/main.ts", ROOT).pathname;
    const line = [Deno.execPath(), ...NODE_RUN, "--allow-run", main].map(shellWord).join(" ");
    await Deno.writeTextFile(`${folder}/quorate`, `#!/bin/sh\nexec ${line} "$@"\n`, { mode: 0o755 });
    const env = {
      PATH: `${folder}:${Deno.env.get("PATH")}`,
      QUORATE_URL: cluster.ids.map((id) => cluster.url(id)).join(),
      QUORATE_TOKEN: TOKEN,
      NODE: cluster.url("a"),
      NO_COLOR: "1",
    };
    for (const title of Object.keys(STATES)) assert(SECTIONS.some((one) => one.title === title), title);
    for (const { title, steps } of SECTIONS) {
      await t.step(title === "" ? "the beginning" : title, async () => {
        await typed.untilWell();
        const end = await STATES[title]?.(typed);
        try {
          for (const { script, printed } of steps) {
            // What a doctor finds is his exit code: the block goes on, as it does where it is typed.
            const strict = printed.length === 0 && !script.includes("quorate doctor");
            const { code, out, err } = await runShell(script, folder, env, strict ? ["-e"] : []);
            assert(code === 0 || (code === 1 && !strict), `${title}: ${code}\n${script}${out}${err}`);
            assertEquals(err, "", script);
            for (const one of printed) assert(asPattern(one).test(out), `${title}: ${one}\nis not in\n${out}`);
          }
        } finally {
          await end?.();
        }
      });
    }
  } finally {
    await cluster.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
