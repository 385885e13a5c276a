/**
 * The house's rules, enforced: who may import what, what pure rooms may not touch, which sections comments may cite,
 * where tests lie, how comments begin, how long a file may be, and that nothing lies about unused.
 * Every rule is a function from a map of files to complaints, so that a small made-up tree shows that it can complain.
 */
import { assert, assertEquals } from "@std/assert";

/** Text by path from the project's root. */
type Files = ReadonlyMap<string, string>;
type Complaint = string;

// Reading code

/** `code`: the text with comments and the insides of strings blanked; `comments`: with everything else blanked. */
type Layers = { readonly code: string; readonly comments: string };

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

/** After one of these a slash begins a regular expression, not a division. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|delete|void|throw|new|else))\s*$/;

function layersOf(text: string): Layers {
  let code = "";
  let comments = "";
  const keep = (piece: string): void => {
    code += piece;
    comments += blank(piece);
  };
  const hide = (piece: string, isComment: boolean): void => {
    code += blank(piece);
    comments += isComment ? piece : blank(piece);
  };
  /** One entry per open `${`: how many braces are open inside it. */
  const templates: number[] = [];
  let i = 0;
  const templateText = (): void => {
    const start = i;
    while (i < text.length && text[i] !== "`" && !text.startsWith("${", i)) i += text[i] === "\\" ? 2 : 1;
    hide(text.slice(start, i), false);
    if (text.startsWith("${", i)) {
      templates.push(0);
      keep("${");
      i += 2;
    } else if (i < text.length) {
      keep("`");
      i++;
    }
  };
  while (i < text.length) {
    const rest = text.slice(i, i + 2);
    const char = text[i]!;
    if (rest === "//" || rest === "/*") {
      const found = rest === "//" ? text.indexOf("\n", i) : text.indexOf("*/", i + 2);
      const end = found < 0 ? text.length : rest === "//" ? found : found + 2;
      hide(text.slice(i, end), true);
      i = end;
    } else if (char === '"' || char === "'") {
      let end = i + 1;
      while (end < text.length && text[end] !== char && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
      keep(char);
      hide(text.slice(i + 1, end), false);
      keep(text.slice(end, end + 1));
      i = end + 1;
    } else if (char === "`") {
      keep("`");
      i++;
      templateText();
    } else if (char === "/" && BEFORE_REGEX.test(code.slice(-40))) {
      const regex = /^\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/.exec(text.slice(i))?.[0] ?? "/";
      hide(regex, false);
      i += regex.length;
    } else if (templates.length > 0 && char === "}" && templates.at(-1) === 0) {
      templates.pop();
      keep("}");
      i++;
      templateText();
    } else {
      if (templates.length > 0 && char === "{") templates[templates.length - 1]!++;
      if (templates.length > 0 && char === "}") templates[templates.length - 1]!--;
      keep(char);
      i++;
    }
  }
  return { code, comments };
}

type Import = { readonly specifier: string; readonly typesOnly: boolean };

function importsOf(text: string): Import[] {
  const { code } = layersOf(text);
  const found: Import[] = [];
  const add = (match: RegExpExecArray, names: string | undefined): void => {
    const [start, end] = match.indices!.groups!["specifier"]!;
    found.push({ specifier: text.slice(start, end), typesOnly: names !== undefined && onlyTypes(names) });
  };
  const from = /^[ \t]*(?:import|export)\b(?<names>[^;"']*?)\bfrom\s*["'](?<specifier>[^"'\n]*)["']/dgm;
  for (const match of code.matchAll(from)) add(match, match.groups!["names"]);
  const bare = /\bimport\s*\(?\s*["'](?<specifier>[^"'\n]*)["']/dg;
  for (const match of code.matchAll(bare)) add(match, undefined);
  return found;
}

function onlyTypes(names: string): boolean {
  if (/^\s*type\b(?!\s*,)/.test(names)) return true;
  const braces = /^\s*\{([^}]*)\}\s*$/.exec(names)?.[1];
  if (braces === undefined) return false;
  const parts = braces.split(",").map((part) => part.trim()).filter((part) => part !== "");
  return parts.length > 0 && parts.every((part) => /^type\s/.test(part));
}

/** The path a relative specifier names, or null for a package. */
function resolved(from: string, specifier: string): string | null {
  if (!specifier.startsWith(".")) return null;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

// Who may import what (house.md, second table)

type Rule = {
  /** Files below this folder, or this very file. */
  readonly room: string;
  /** Prefixes of paths, or packages; a path ending in `/` is a folder. */
  readonly may: readonly string[];
  /** The same, for imports of types alone. */
  readonly mayTypes?: readonly string[];
};

const SHARED = [
  "src/limits.ts",
  "src/version.ts",
  "src/assert.ts",
  "src/errors.ts",
  "src/remembered.ts",
  "src/key_order.ts",
  "src/duration.ts",
  "src/nouns.ts",
  "src/spans.ts",
];
/** What stands below a node's rooms; each may import what stands before it. */
const CORE = ["src/paxos/", "src/machine/", "src/api.ts", "src/ports.ts", ...SHARED];
const ALL = [""];

const RULES: readonly Rule[] = [
  { room: "src/paxos/", may: ["src/paxos/", "src/assert.ts", "src/limits.ts"] },
  { room: "src/members/", may: ["src/members/", "src/paxos/"] },
  {
    room: "src/machine/",
    may: ["src/machine/", "src/assert.ts", "src/limits.ts", "src/remembered.ts", "src/version.ts"],
    mayTypes: ["src/paxos/"],
  },
  { room: "src/engine/", may: ["src/engine/", ...CORE] },
  { room: "src/replica/", may: ["src/replica/", "src/members/", "src/engine/", "node:buffer", ...CORE] },
  { room: "src/leases/", may: ["src/leases/", "src/replica/", "src/engine/", ...CORE] },
  {
    room: "src/epochs/",
    may: [
      "src/epochs/",
      "src/replica/",
      "src/engine/",
      "src/transport/checks.ts",
      "src/config/cluster_config.ts",
      "src/backup/restored.ts",
      ...CORE,
    ],
  },
  {
    room: "src/backup/",
    may: ["src/backup/", "src/ports.ts", "src/paxos/ballot.ts", ...SHARED],
    mayTypes: ["src/paxos/"],
  },
  { room: "src/service/", may: ["src/service/", "src/backup/", "src/leases/", "src/replica/", "src/engine/", ...CORE] },
  { room: "src/watch/", may: ["src/watch/", "src/service/", "src/replica/", "src/engine/", ...CORE] },
  {
    room: "src/store/",
    may: ["src/store/", "src/ports.ts", "src/end_of_turn.ts", "src/paxos/barring.ts", "node:", ...SHARED],
    mayTypes: ["src/paxos/"],
  },
  {
    room: "src/transport/",
    may: ["src/transport/", "src/ports.ts", "src/end_of_turn.ts", "node:buffer", ...SHARED],
    mayTypes: ["src/paxos/", "src/members/"],
  },
  { room: "src/http/", may: ["src/http/", ...SHARED], mayTypes: ["src/api.ts"] },
  // A direct client is a learner, and only QuorumSystem compares counts. A gateway is one more door for requests.
  {
    room: "src/client/",
    may: ["src/client/", "src/http/", "src/api.ts", "src/paxos/ballot.ts", "src/paxos/quorum.ts", ...SHARED],
  },
  { room: "src/gateway/", may: ["src/gateway/", "src/client/", "src/http/", "src/ports.ts", ...SHARED] },
  {
    room: "src/auth/",
    may: ["src/auth/", "src/api.ts", "src/ports.ts", "node:crypto", "node:buffer", ...SHARED],
  },
  {
    room: "src/observe/",
    may: ["src/observe/", "src/engine/receipt.ts", "src/machine/changes.ts", "src/api.ts", "src/ports.ts", ...SHARED],
    mayTypes: ["src/paxos/"],
  },
  { room: "src/adapters/", may: ["src/adapters/", "src/client/", "src/http/", ...SHARED], mayTypes: ["hono"] },
  {
    room: "src/config/",
    may: [
      "src/config/",
      "src/backup/restored.ts",
      "src/auth/",
      "src/http/",
      "src/engine/modes.ts",
      "src/observe/log.ts",
      "node:",
      ...SHARED,
    ],
    mayTypes: ["src/paxos/", "src/ports.ts"],
  },
  // The one place that sees all rooms of a node and its doors; only the entry points see it.
  { room: "src/compose/", may: ["src/", "routes/"] },
  { room: "src/cli/", may: ALL },
  // Users run whole nodes in memory: what their clients are told comes from the routes.
  { room: "src/testing/", may: ["src/", "routes/", "node:timers"] },
  { room: "src/operate/", may: ["src/operate/", "src/api.ts", "src/paxos/quorum.ts", ...SHARED] },
  { room: "src/mod.ts", may: ["src/client/", "src/api.ts", "src/errors.ts"] },
  { room: "src/assert.ts", may: [] },
  { room: "src/limits.ts", may: ["src/assert.ts"] },
  { room: "src/remembered.ts", may: [] },
  { room: "src/duration.ts", may: [] },
  { room: "src/end_of_turn.ts", may: ["node:timers"] },
  { room: "src/key_order.ts", may: [] },
  { room: "src/nouns.ts", may: [] },
  { room: "src/spans.ts", may: [] },
  { room: "src/version.ts", may: [] },
  { room: "src/errors.ts", may: SHARED, mayTypes: ["src/api.ts"] },
  { room: "src/api.ts", may: SHARED },
  { room: "src/ports.ts", may: SHARED, mayTypes: ["src/api.ts", "src/paxos/", "src/members/"] },
  {
    room: "routes/",
    may: [
      "routes/",
      "hono",
      "zod",
      "@hono/zod-openapi",
      "node:buffer",
      "src/service/",
      "src/epochs/",
      "src/api.ts",
      "src/ports.ts",
      "src/auth/",
      "src/http/",
      "src/observe/",
      "src/transport/wire.ts",
      "src/transport/lines.ts",
      "src/transport/peer_versions.ts",
      ...SHARED,
    ],
    mayTypes: ["src/machine/", "src/replica/"],
  },
  { room: "deploy.ts", may: ALL },
];

function isProduct(path: string): boolean {
  return path.endsWith(".ts") && (path.startsWith("src/") || path.startsWith("routes/") || path === "deploy.ts");
}

function allows(may: readonly string[], target: string, isPath: boolean): boolean {
  return may.some((entry) => {
    if (entry === "") return true;
    if (isPath) return entry.endsWith("/") ? target.startsWith(entry) : target === entry;
    return entry.endsWith(":") ? target.startsWith(entry) : target === entry || target.startsWith(`${entry}/`);
  });
}

function checkImports(files: Files): Complaint[] {
  const complaints: Complaint[] = [];
  for (const [path, text] of files) {
    if (!isProduct(path)) continue;
    const rule = RULES.find(({ room }) => room.endsWith("/") ? path.startsWith(room) : path === room);
    if (rule === undefined) {
      complaints.push(`${path} lies in no room of the house`);
      continue;
    }
    for (const { specifier, typesOnly } of importsOf(text)) {
      const target = resolved(path, specifier);
      const name = target ?? specifier;
      const isPath = target !== null;
      if (allows(rule.may, name, isPath)) continue;
      if (allows(rule.mayTypes ?? [], name, isPath)) {
        if (!typesOnly) complaints.push(`${path} may import only types of ${name}`);
        continue;
      }
      complaints.push(`${path} may not import ${name}`);
    }
  }
  return complaints;
}

// What pure rooms may not touch

const PURE = ["src/paxos/", "src/members/", "src/machine/", "src/engine/", "src/limits.ts", "src/assert.ts"];

/** As globals or keywords; a member of some object that bears the same name is another thing. */
const BANNED: readonly RegExp[] = [
  /\basync\b/,
  /\bawait\b/,
  /\bnew\s+Promise\b/,
  /(?<![.\w])Promise\s*\./,
  /(?<![.\w])Date\b/,
  /\bMath\s*\.\s*random\b/,
  /(?<![.\w])(?:crypto|Deno|fetch|console|process|performance|globalThis|self|Temporal)\b/,
  /(?<![.\w])(?:setTimeout|setInterval|setImmediate|queueMicrotask|requestAnimationFrame)\b/,
];

function checkPure(files: Files): Complaint[] {
  const complaints: Complaint[] = [];
  for (const [path, text] of files) {
    if (!path.endsWith(".ts") || !PURE.some((room) => path === room || path.startsWith(room))) continue;
    layersOf(text).code.split("\n").forEach((line, i) => {
      for (const banned of BANNED) {
        const found = banned.exec(line)?.[0];
        if (found !== undefined) complaints.push(`${path}:${i + 1} is pure and may not use ${found}`);
      }
    });
  }
  return complaints;
}

// What no vote may rest on

/** What of Deno KV is late by tens of seconds, half applied, another's data, or seen by one process only. */
const UNRELIABLE =
  /\bexpireIn\b|\bkv\s*\.\s*(?:enqueue|listenQueue)\b|\.\s*(?:sum|min|max|watch)\s*\(|["']eventual["']/;

function checkStore(files: Files): Complaint[] {
  const complaints: Complaint[] = [];
  for (const [path, text] of files) {
    if (!path.startsWith("src/store/")) continue;
    const { code } = layersOf(text);
    text.split("\n").forEach((line, i) => {
      // In strings too, where the word of a consistency stands; not in comments.
      const found = code.split("\n")[i]!.trim() === ""
        ? undefined
        : UNRELIABLE.exec(line.replace(/\bMath\.\w+\(/g, ""))?.[0];
      if (found !== undefined) complaints.push(`${path}:${i + 1} rests on ${found}`);
    });
  }
  return complaints;
}

// Which sections comments cite

const PROTOCOL = "src/paxos/PROTOCOL.md";

function checkSections(files: Files): Complaint[] {
  const protocol = files.get(PROTOCOL);
  if (protocol === undefined) return [`${PROTOCOL} is missing`];
  const sections = new Set([...protocol.matchAll(/^## (\d+)\. /gm)].map((match) => match[1]));
  const complaints: Complaint[] = [];
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue;
    // Citations may run over the end of a comment's line.
    const comments = layersOf(text).comments.replace(/\n\s*(?:\*(?!\/)|\/\/)?/g, " ");
    for (const [chain] of comments.matchAll(/PROTOCOL\.md(?:(?:[\s,]|and|to|or)*§\s*\d+)+/g)) {
      for (const [, number] of chain.matchAll(/§\s*(\d+)/g)) {
        if (!sections.has(number)) complaints.push(`${path} cites PROTOCOL.md §${number}, which is not there`);
      }
    }
  }
  return complaints;
}

// Where tests lie

/** Folders and files of test/ that mirror nothing in particular (house.md), and contract suites, which mirror a port. */
const SPECIAL =
  /^test\/(?:(?:paper|trace|sim|porcupine|chaos|bench|package|python|std|kv_connect)\/|(?:tidy|std|readme|package|safety_page|rooms|in_order|options|free_ports)_test\.ts$)/;

function checkMirrors(files: Files): Complaint[] {
  return [...files.keys()].filter((path) => path.startsWith("test/") && path.endsWith("_test.ts"))
    .filter((path) => !SPECIAL.test(path) && !path.endsWith("_contract_test.ts"))
    .filter((path) => {
      const source = path.slice("test/".length).replace(/_test\.ts$/, ".ts");
      return !files.has(`src/${source}`) && !files.has(source);
    })
    .map((path) => `${path} mirrors no source file`);
}

// How comments begin

/** "Of" at the beginning keeps its reader waiting for what the sentence is about. */
function checkComments(files: Files): Complaint[] {
  const complaints: Complaint[] = [];
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue;
    layersOf(text).comments.split("\n").forEach((line, i) => {
      if (/^\s*(?:\/\/|\/?\*+)\s*Of\b/.test(line)) complaints.push(`${path}:${i + 1} begins a comment with "Of"`);
    });
  }
  return complaints;
}

// How long a file may be

const LINES_MAX = 400;

function checkLengths(files: Files): Complaint[] {
  return [...files].filter(([path]) => path.endsWith(".ts") && (path.startsWith("src/") || path.startsWith("routes/")))
    .filter(([, text]) => !/^\/[/*].*generated/i.test(text))
    .map(([path, text]) => [path, text.split("\n").length - (text.endsWith("\n") ? 1 : 0)] as const)
    .filter(([, lines]) => lines > LINES_MAX)
    .map(([path, lines]) => `${path} has ${lines} lines, not ${LINES_MAX} at most`);
}

// What nobody uses

const ROOTS = [
  "deploy.ts",
  "src/mod.ts",
  "src/client/direct.ts",
  "src/adapters/hono.ts",
  "src/testing/mod.ts",
  "src/cli/main.ts",
];

function checkDead(files: Files): Complaint[] {
  const roots = [...files.keys()].filter((path) => ROOTS.includes(path) || /^test\/.*_test\.ts$/.test(path));
  if (roots.length === 0) return ["there is nothing to start from: no entry point and no test"];
  const alive = reachedFrom(files, ...roots);
  return [...files.keys()].filter((path) => isProduct(path) && path.startsWith("src/") && !alive.has(path))
    .map((path) => `${path} is used by nothing`);
}

// What is deployed

/**
 * The runtime of a host may be older than the one here, so what deploy.ts reaches uses nothing that is younger than this.
 * What it uses is listed, with the version it came with, so that whoever adds something looks that up.
 */
const OLDEST_RUNTIME = [2, 5];
const RUNTIME_APIS: Readonly<Record<string, string>> = {
  "Deno.addSignalListener": "1.17",
  "Deno.createHttpClient": "2.0",
  "Deno.env": "1.0",
  "Deno.exit": "1.0",
  "Deno.open": "1.0",
  "Deno.openKv": "1.32",
  "Deno.pid": "1.0",
  "Deno.readTextFile": "1.0",
  "Deno.realPath": "1.0",
  "Deno.serve": "1.35",
  "Deno.stat": "1.0",
  "Deno.telemetry": "2.2",
  "Deno.upgradeWebSocket": "1.9",
  "Deno.version": "1.0",
};
/** Types leave nothing behind that runs. */
const RUNTIME_TYPES = /^Deno\.(?:Kv\w*|AtomicCheck|FsFile|HttpClient)$/;
/** What of the language and the web V8 14.0 does not have yet, or has behind a flag. */
const YOUNGER = /\b(?:Temporal|getOrInsert\w*|sumPrecise|allKeyed|Iterator\s*\.\s*(?:concat|zip)\w*)\b/;

function reachedFrom(files: Files, ...roots: readonly string[]): Set<string> {
  const reached = new Set<string>();
  const next = [...roots];
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    const text = files.get(path);
    if (reached.has(path) || text === undefined) continue;
    reached.add(path);
    for (const { specifier } of importsOf(text)) {
      const target = resolved(path, specifier);
      if (target !== null) next.push(target);
    }
  }
  return reached;
}

/** Runtime APIs by name, of all that deploy.ts reaches. */
function deployedApis(files: Files): Set<string> {
  const used = new Set<string>();
  for (const path of reachedFrom(files, "deploy.ts")) {
    for (const [name] of layersOf(files.get(path)!).code.matchAll(/(?<![.\w])Deno\s*\.\s*\w+/g)) {
      used.add(name.replace(/\s/g, ""));
    }
  }
  return used;
}

function checkDeployed(files: Files): Complaint[] {
  const complaints = [...deployedApis(files)].filter((name) => !RUNTIME_TYPES.test(name)).flatMap((name) => {
    const since = RUNTIME_APIS[name];
    if (since === undefined) return [`deploy.ts reaches ${name}, which is not on the list of what its runtime has`];
    const [major = 0, minor = 0] = since.split(".").map(Number);
    const isYounger = major > OLDEST_RUNTIME[0]! || (major === OLDEST_RUNTIME[0] && minor > OLDEST_RUNTIME[1]!);
    return isYounger ? [`deploy.ts reaches ${name}, which came with ${since}`] : [];
  });
  for (const path of reachedFrom(files, "deploy.ts")) {
    const found = YOUNGER.exec(layersOf(files.get(path)!).code)?.[0];
    if (found !== undefined) complaints.push(`${path} uses ${found}, which a host may not have`);
  }
  return complaints;
}

// The tree as it is

async function projectFiles(): Promise<Files> {
  const root = new URL("../", import.meta.url);
  const files = new Map<string, string>();
  const walk = async (folder: string): Promise<void> => {
    for await (const entry of Deno.readDir(new URL(folder, root))) {
      const path = `${folder}${entry.name}`;
      if (entry.isDirectory) await walk(`${path}/`);
      else if (/\.(?:ts|md)$/.test(path)) files.set(path, await Deno.readTextFile(new URL(path, root)));
    }
  };
  for (const folder of ["src/", "routes/", "test/"]) await walk(folder);
  const deploy = await Deno.readTextFile(new URL("deploy.ts", root)).catch(() => null);
  if (deploy !== null) files.set("deploy.ts", deploy);
  return files;
}

const CHECKS = {
  "imports keep to the house's table": checkImports,
  "pure rooms touch their arguments only": checkPure,
  "comments cite sections that exist": checkSections,
  "stores use of Deno KV only what a vote may rest on": checkStore,
  "every test mirrors a source file": checkMirrors,
  "no comment begins with Of": checkComments,
  "no source file is too long": checkLengths,
  "no source file is dead": checkDead,
  "what is deployed runs on older runtimes": checkDeployed,
} as const;

const project = await projectFiles();

for (const [rule, check] of Object.entries(CHECKS)) {
  Deno.test(`the project: ${rule}`, () => assertEquals(check(project), []));
}

Deno.test("the project: what is checked is there", () => {
  assert([...project.keys()].filter((path) => path.startsWith("src/")).length > 20);
  assert(importsOf(project.get("src/paxos/acceptor.ts")!).length >= 7);
  assert((project.get(PROTOCOL)!.match(/^## \d+\. /gm) ?? []).length >= 11);
});

// Each rule can complain

function tree(files: Readonly<Record<string, string>>): Files {
  return new Map(Object.entries(files));
}

Deno.test("imports: what each room may and may not", () => {
  const refused: [string, string, string][] = [
    ["src/paxos/a.ts", 'import { x } from "../machine/lock.ts";', "may not import src/machine/lock.ts"],
    ["src/paxos/a.ts", 'import { x } from "../errors.ts";', "may not import src/errors.ts"],
    ["src/paxos/a.ts", 'import x from "node:crypto";', "may not import node:crypto"],
    ["src/paxos/a.ts", 'export * from "../ports.ts";', "may not import src/ports.ts"],
    ["src/paxos/a.ts", 'const x = import("../store/rows.ts");', "may not import src/store/rows.ts"],
    ["src/paxos/a.ts", 'import "../store/rows.ts";', "may not import src/store/rows.ts"],
    ["src/machine/a.ts", 'import { x } from "../paxos/quorum.ts";', "may import only types of src/paxos/quorum.ts"],
    ["src/machine/a.ts", 'import { type X, y } from "../paxos/b.ts";', "may import only types of src/paxos/b.ts"],
    ["src/machine/a.ts", 'import type { X } from "../ports.ts";', "may not import src/ports.ts"],
    ["src/replica/a.ts", 'import { x } from "../store/rows.ts";', "may not import src/store/rows.ts"],
    ["src/replica/a.ts", 'import { Hono } from "hono";', "may not import hono"],
    ["src/store/a.ts", 'import { x } from "../paxos/acceptor.ts";', "may import only types of src/paxos/acceptor.ts"],
    ["src/store/a.ts", 'import { x } from "../replica/reader.ts";', "may not import src/replica/reader.ts"],
    ["src/transport/a.ts", 'import { x } from "../store/rows.ts";', "may not import src/store/rows.ts"],
    ["src/auth/a.ts", 'import { x } from "node:fs";', "may not import node:fs"],
    ["src/auth/a.ts", 'import { x } from "../paxos/quorum.ts";', "may not import src/paxos/quorum.ts"],
    ["src/client/a.ts", 'import { x } from "../service/service.ts";', "may not import src/service/service.ts"],
    ["src/engine/a.ts", 'import { x } from "../replica/reader.ts";', "may not import src/replica/reader.ts"],
    ["src/replica/a.ts", 'import { x } from "../service/grants.ts";', "may not import src/service/grants.ts"],
    ["src/service/a.ts", 'import { x } from "../watch/recent.ts";', "may not import src/watch/recent.ts"],
    ["src/compose/a.ts", 'import { x } from "../../deploy.ts";', "may not import deploy.ts"],
    ["src/testing/a.ts", 'import { x } from "../../deploy.ts";', "may not import deploy.ts"],
    ["src/http/a.ts", 'import { x } from "../client/direct.ts";', "may not import src/client/direct.ts"],
    ["src/adapters/a.ts", 'import { Hono } from "hono";', "may import only types of hono"],
    ["routes/a.ts", 'import { x } from "../src/store/rows.ts";', "may not import src/store/rows.ts"],
    ["routes/a.ts", 'import { x } from "../src/paxos/acceptor.ts";', "may not import src/paxos/acceptor.ts"],
    ["routes/a.ts", 'import { x } from "../src/machine/lock.ts";', "may import only types of src/machine/lock.ts"],
    ["routes/a.ts", 'import {\n  x,\n} from "../src/transport/checks.ts";', "may not import src/transport/checks.ts"],
    ["src/limits.ts", 'import { x } from "./errors.ts";', "may not import src/errors.ts"],
    ["src/utils.ts", "", "lies in no room of the house"],
  ];
  for (const [path, text, what] of refused) {
    assertEquals(checkImports(tree({ [path]: text })), [`${path} ${what}`], text);
  }
  const allowed: [string, string][] = [
    ["src/machine/a.ts", 'import type { X } from "../paxos/message.ts";'],
    ["src/machine/a.ts", 'import { type X, type Y } from "../paxos/message.ts";'],
    ["src/machine/a.ts", 'export type { X } from "../paxos/message.ts";'],
    ["src/store/a.ts", 'import { StoreError } from "../ports.ts";'],
    ["routes/a.ts", 'import { streamSSE } from "hono/streaming";\nimport { z } from "@hono/zod-openapi";'],
    ["src/paxos/a.ts", '// import { x } from "../machine/lock.ts";'],
    ["src/paxos/a.ts", 'const text = `import { x } from "../machine/lock.ts"`;'],
    ["deploy.ts", 'import { x } from "./src/store/rows.ts";'],
    ["src/testing/a.ts", 'import { x } from "../../routes/app.ts";\nimport { y } from "node:timers";'],
    ["test/a_test.ts", 'import { x } from "../src/store/rows.ts";'],
  ];
  for (const [path, text] of allowed) assertEquals(checkImports(tree({ [path]: text })), [], text);
});

Deno.test("pure rooms: each banned word, as code only", () => {
  const banned = [
    "async function f() {}",
    "await x;",
    "new Promise(() => 1);",
    "Promise.resolve(1);",
    "Date.now();",
    "new Date();",
    "Math.random();",
    "crypto.randomUUID();",
    "Deno.env.get('x');",
    "fetch('x');",
    "setTimeout(f, 1);",
    "console.log(1);",
    "globalThis.x;",
    "const text = `${Date.now()}`;",
    "const half = a / 2; Date.now(); const b = c / 2;",
  ];
  for (const text of banned) {
    for (const room of ["src/paxos/a.ts", "src/machine/a.ts", "src/limits.ts"]) {
      assertEquals(checkPure(tree({ [room]: `\n${text}` })).length, 1, text);
    }
    assertEquals(checkPure(tree({ "src/replica/a.ts": text })), []);
  }
  const fine = [
    "// await Date.now()",
    "/* console.log(1)\n * await */",
    'const text = "await fetch";',
    "const text = `await ${name} fetch`;",
    "const text = `a ${{ b: `Date ${c}` }.b} await`;",
    "const found = /await|Date/.exec(text);",
    "value.Date; state.process; promised.fetch();",
    "const updated = asynchronous;",
    "type X = Promised;",
  ];
  for (const text of fine) assertEquals(checkPure(tree({ "src/paxos/a.ts": text })), [], text);
});

Deno.test("stores: what no vote may rest on is found, in code and not in comments", () => {
  const found = (text: string) => checkStore(tree({ "src/store/a.ts": text })).length;
  for (
    const text of [
      "kv.set(key, value, { expireIn: 1 });",
      "atomic.sum(key, 1n);",
      "for await (const _ of kv.watch([key])) {}",
      'kv.get(key, { consistency: "eventual" });',
    ]
  ) {
    assertEquals(found(text), 1, text);
  }
  for (const text of ["// expireIn is late", "/** no kv.watch() */", "Math.min(a, b);", "options.watch;"]) {
    assertEquals(found(text), 0, text);
  }
});

Deno.test("sections: one that is not there is found, also in a list, a range, and over lines", () => {
  const protocol = "## 1. One\n## 2. Two\n### 3. No section\n";
  const cited = (text: string) => checkSections(tree({ [PROTOCOL]: protocol, "src/a.ts": text }));
  const missing = (...numbers: number[]) => numbers.map((n) => `src/a.ts cites PROTOCOL.md §${n}, which is not there`);
  assertEquals(cited("// PROTOCOL.md §1 and (Fast Paxos §3.1; PROTOCOL.md §2)"), []);
  assertEquals(cited("// PROTOCOL.md §3"), missing(3));
  assertEquals(cited("/** PROTOCOL.md §1, §4 and §2 to §5. */"), missing(4, 5));
  assertEquals(cited("/**\n * PROTOCOL.md\n * §9.\n */"), missing(9));
  assertEquals(cited("// PROTOCOL.md\n// §12"), missing(12));
  assertEquals(cited('const text = "PROTOCOL.md §7";'), []);
  assertEquals(checkSections(tree({})), [`${PROTOCOL} is missing`]);
});

Deno.test("mirrors: a test of nothing is found; special folders and contracts are free", () => {
  const files = { "src/paxos/quorum.ts": "", "routes/app.ts": "", "src/limits.ts": "" };
  const found = (path: string) => checkMirrors(tree({ ...files, [path]: "" }));
  for (
    const path of [
      "test/paxos/quorum_test.ts",
      "test/routes/app_test.ts",
      "test/limits_test.ts",
      "test/paper/fast_paxos_test.ts",
      "test/sim/explore/explorer_test.ts",
      "test/tidy_test.ts",
      "test/store/ballot_store_contract_test.ts",
      "test/paxos/samples.ts",
    ]
  ) {
    assertEquals(found(path), []);
  }
  for (const path of ["test/paxos/quorums_test.ts", "test/quorum_test.ts", "test/machine/quorum_test.ts"]) {
    assertEquals(found(path), [`${path} mirrors no source file`]);
  }
});

Deno.test("comments: one that begins with Of is found, in each of its lines and behind code, and no other", () => {
  const found = (text: string) => checkComments(tree({ "test/a.ts": text })).length;
  for (const text of ["// Of x", "/** Of x. */", "/**\n * Of x.\n */", "/* Of x */", "code(); // Of x", "//Of x"]) {
    assertEquals(found(text), 1, text);
  }
  for (const text of ['const x = "// Of x";', "// Often", "/** One of x. */", "/** None. Of x. */"]) {
    assertEquals(found(text), 0, text);
  }
});

Deno.test("lengths: 400 lines are fine, 401 are not, unless generated", () => {
  const lines = (n: number) => "x;\n".repeat(n);
  assertEquals(checkLengths(tree({ "src/a.ts": lines(400), "test/a_test.ts": lines(900) })), []);
  assertEquals(checkLengths(tree({ "src/a.ts": lines(401) })), ["src/a.ts has 401 lines, not 400 at most"]);
  assertEquals(checkLengths(tree({ "routes/a.ts": lines(500) })), ["routes/a.ts has 500 lines, not 400 at most"]);
  assertEquals(checkLengths(tree({ "routes/a.ts": `// Generated by x.\n${lines(500)}` })), []);
});

Deno.test("dead files: what no root reaches is found, through any number of steps; no root at all is one complaint", () => {
  const files = {
    "deploy.ts": 'import { a } from "./src/a.ts";',
    "src/a.ts": 'import type { B } from "./deep/b.ts";',
    "src/deep/b.ts": 'export * from "../c.ts";',
    "src/c.ts": "",
    "src/only_tested.ts": "",
    "test/only_tested_test.ts": 'import { x } from "../src/only_tested.ts";',
  };
  assertEquals(checkDead(tree(files)), []);
  assertEquals(checkDead(tree({ ...files, "src/d.ts": 'import "./c.ts";' })), ["src/d.ts is used by nothing"]);
  // Two that only know each other are dead both.
  const ring = { "src/e.ts": 'import "./f.ts";', "src/f.ts": 'import "./e.ts";' };
  assertEquals(checkDead(tree({ ...files, ...ring })).length, 2);
  assertEquals(checkDead(tree({ "src/a.ts": "" })).length, 1);
  assertEquals(checkDead(tree({})).length, 1);
});

Deno.test("deployed: what is not listed, is too young, or is of a younger language is found, if deploy.ts reaches it", () => {
  const found = (text: string) =>
    checkDeployed(tree({ "deploy.ts": 'import "./src/a.ts";', "src/a.ts": text, "src/b.ts": "Deno.cron();" }));
  assertEquals(found("Deno.openKv(); type X = Deno.KvKey; // Deno.cron()"), []);
  assertEquals(found("Deno.cron();").length, 1);
  assertEquals(found("const x = Deno . spawn('x');").length, 1);
  assertEquals(found("map.getOrInsert(1, 2);"), ["src/a.ts uses getOrInsert, which a host may not have"]);
  assertEquals(found("Temporal.Now.instant();").length, 1);
  // The list is of what is used, so that it tells something.
  const used = [...deployedApis(project)].filter((name) => !RUNTIME_TYPES.test(name)).sort();
  assertEquals(used, Object.keys(RUNTIME_APIS).sort());
});

Deno.test("reading code: the layers keep every offset", () => {
  for (const [path, text] of project) {
    if (!path.endsWith(".ts")) continue;
    const { code, comments } = layersOf(text);
    assertEquals([code.length, comments.length], [text.length, text.length], path);
    assertEquals(code.split("\n").length, text.split("\n").length, path);
  }
});
