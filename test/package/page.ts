/** A program in a page of a real browser, of the origin that its nodes are reached at. */
import type { Apps } from "../routes/memory_apps.ts";
import { versionOf } from "./installed.ts";

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"];
/** Whoever runs tests as root has no sandbox; nothing but pages of the tests is opened. */
export const FLAGS: readonly string[] = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-first-run",
];
/** Far above what anything here takes; a hang fails the test by it. */
const HANG_MS = 45_000;

/** The first that is on PATH, and its version; null: none is. */
export async function browser(): Promise<{ readonly program: string; readonly version: string } | null> {
  for (const program of BROWSERS) {
    const version = await versionOf(program);
    if (version !== null) return { program, version };
  }
  return null;
}

export type Page = {
  readonly program: string;
  /** Where its modules lie. */
  readonly folder: string;
  /** What bare imports are, below `folder`. */
  readonly imports: Readonly<Record<string, string>>;
  /** The program, a module: it is given `urls`, and posts what comes of it to `/result`. */
  readonly script: string;
};

/** Resolves with what the program posts. A page has few connections to one origin: a node is a path of it. */
export async function runInPage(apps: Apps, { program, folder, imports, script }: Page): Promise<string> {
  const { promise: result, resolve, reject } = Promise.withResolvers<string>();
  const bare = Object.fromEntries(Object.entries(imports).map(([name, path]) => [name, `/files/${path}`]));
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { origin, pathname } = new URL(request.url);
    const [, first = "", ...rest] = pathname.split("/");
    if (apps.cluster.ids.includes(first)) {
      return await apps.handle(first, new Request(request.url.replace(`/${first}/`, "/"), request));
    }
    if (first === "result") {
      resolve(await request.text());
      return new Response();
    }
    if (first === "files") {
      const text = await Deno.readTextFile(`${folder}/${rest.join("/")}`);
      return new Response(text, { headers: { "Content-Type": "text/javascript" } });
    }
    const urls = JSON.stringify(apps.cluster.ids.map((id) => `${origin}/${id}`));
    const html = `<!doctype html><script type="importmap">${JSON.stringify({ imports: bare })}</script>
<script>addEventListener("error", ({ message }) => fetch("/result", { method: "POST", body: message }));</script>
<script type="module">const urls = ${urls};\n${script}</script>`;
    return new Response(first === "" ? html : null, {
      status: first === "" ? 200 : 404,
      headers: { "Content-Type": "text/html" },
    });
  });
  const profile = await Deno.makeTempDir();
  const args = [...FLAGS, `--user-data-dir=${profile}`, `http://127.0.0.1:${server.addr.port}/`];
  const child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  const timer = setTimeout(() => reject(new Error("the page says nothing")), HANG_MS);
  child.status.then(({ code }) => reject(new Error(`${program} ended with ${code}`)));
  try {
    return await result;
  } finally {
    clearTimeout(timer);
    result.catch(() => {});
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await child.status;
    await server.shutdown();
    await removeAtLast(profile);
  }
}

/** The browser's own children end a little later than it, and write until then. */
export async function removeAtLast(folder: string): Promise<void> {
  for (let left = 100;; left--) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
