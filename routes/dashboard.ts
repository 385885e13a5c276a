/** `/` for browsers, and what its page loads. Nothing of it says anything about a node's names: the page asks under /v1. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { sha256Hex } from "../src/auth/digest.ts";
import { QuorateError } from "../src/errors.ts";
import { type Ctx, type Env, sendText } from "./answer.ts";
import { type DashboardFacts, dashboardPage, NO_PAGE } from "./dashboard_page.ts";
import { accepts } from "./input.ts";

const MODULES = ["start", "api", "dom", "force", "list", "name", "nouns", "overview", "value"]
  .map((name) => `${name}.js`);
const STYLE = "page.css";
const ICON = "icon.svg";
const HTML = "text/html; charset=utf-8";
/** For what runs nothing and loads nothing. */
const POLICY_OF_TEXT = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The text of a file of `routes/dashboard`. */
export type ReadAsset = (name: string) => Promise<string>;
type Assets = {
  readonly files: ReadonlyMap<string, string>;
  readonly page: string;
  readonly policy: string;
};

/** The page stands at `/` where its files do, and only for who asks for a page: a client of the API gets what it got. */
export function dashboardRoutes(
  app: OpenAPIHono<Env>,
  facts: DashboardFacts,
  read: ReadAsset = (name) => Deno.readTextFile(new URL(`dashboard/${name}`, import.meta.url)),
): void {
  const assets = loadedOnce(facts, read);
  // No route: to a client without a page's Accept there is nothing at `/`, for no method.
  app.use("/", async (c, next) => {
    if (!wantsPage(c)) return await next();
    const { page, policy } = await assets();
    return sendPage(c, 200, page, policy);
  });
  for (const name of [...MODULES, ICON]) {
    const type = name === ICON ? "image/svg+xml" : "text/javascript; charset=utf-8";
    app.get(`/dashboard/${name}`, async (c) => sendFile(c, (await assets()).files.get(name)!, type));
  }
}

/** For a browser that went where nothing is. */
export function noPage(c: Ctx): Response | null {
  const isOfApi = /^\/(?:v1|paxos)(?:\/|$)/.test(c.req.path);
  return isOfApi || !wantsPage(c) ? null : sendPage(c, 404, NO_PAGE, POLICY_OF_TEXT);
}

function wantsPage(c: Ctx): boolean {
  return (c.req.method === "GET" || c.req.method === "HEAD") && accepts(c, "text/html");
}

function sendPage(c: Ctx, status: number, page: string, policy: string): Response {
  return sendText(c, status, page, {
    "Content-Type": HTML,
    "Content-Security-Policy": policy,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
  });
}

function sendFile(c: Ctx, text: string, type: string): Response {
  return sendText(c, 200, text, {
    "Content-Type": type,
    "Content-Security-Policy": POLICY_OF_TEXT,
    "X-Content-Type-Options": "nosniff",
  });
}

/** Read at the first request, and kept. Rejects with `no-route` where they are not beside this one, as in a bundle or in Node. */
function loadedOnce(facts: DashboardFacts, read: ReadAsset): () => Promise<Assets> {
  let loading: Promise<Assets> | null = null;
  return () =>
    loading ??= load(facts, read).catch(() => {
      throw new QuorateError("no-route", "the files of the dashboard are not beside this program; see /openapi.json");
    });
}

async function load(facts: DashboardFacts, read: ReadAsset): Promise<Assets> {
  const names = [...MODULES, ICON, STYLE];
  const texts = await Promise.all(names.map(read));
  const files = new Map(names.map((name, i) => [name, texts[i]!]));
  const style = files.get(STYLE)!;
  const page = dashboardPage(facts, style, MODULES.map((name) => `/dashboard/${name}`));
  return { files, page, policy: policyOf(style) };
}

/**
 * From this node alone, and never made from text: a page that cannot turn text into markup shows every name as it is. Pictures
 * may be charts that the page was answered; nobody may show it in a frame, where a click could be led.
 */
function policyOf(style: string): string {
  const digest = Uint8Array.fromHex(sha256Hex(style)).toBase64();
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'sha256-${digest}'`,
    "connect-src 'self'",
    "img-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}
