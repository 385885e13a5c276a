/** A real browser that a test drives: what it shows, what it asks for, what it complains of, and how long it is busy. */
import { FLAGS, removeAtLast } from "../package/page.ts";

type Message = {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  // What the protocol says is the browser's to say; each reader takes what it needs.
  // deno-lint-ignore no-explicit-any
  readonly params?: any;
  // deno-lint-ignore no-explicit-any
  readonly result?: any;
  readonly error?: { readonly message: string };
};
type Size = { readonly width: number; readonly height: number };
export type Key = "Tab" | "Enter" | "Escape" | "Space";

const PORT_WITHIN_MS = 30_000;
const CALL_WITHIN_MS = 30_000;
const UNTIL_WITHIN_MS = 20_000;
const ASK_EVERY_MS = 50;
/** As a keyboard has them: code, and the text that one makes. */
const KEYS: Readonly<Record<Key, { readonly code: string; readonly number: number; readonly text?: string }>> = {
  Tab: { code: "Tab", number: 9 },
  Enter: { code: "Enter", number: 13, text: "\r" },
  Escape: { code: "Escape", number: 27 },
  Space: { code: "Space", number: 32, text: " " },
};
const TRACED = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"];

export class Chromium {
  /** Texts of the console that are errors, and exceptions that nobody caught. */
  readonly complaints: string[] = [];
  /** Addresses that were asked for, of whatever kind. */
  readonly asked: string[] = [];
  readonly traced: TraceEvent[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #onTraceEnd = () => {};
  #session = "";
  #count = 0;

  private constructor(child: Deno.ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  /** Rejects if it does not come up. */
  static async start(program: string): Promise<Chromium> {
    const profile = await Deno.makeTempDir({ prefix: "quorate-chromium-" });
    // What a browser asks of its maker in the background is none of the page's.
    const more = ["--remote-debugging-port=0", "--disable-background-networking", "--disable-component-update"];
    const args = [...FLAGS, ...more, `--user-data-dir=${profile}`, "about:blank"];
    const child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
    try {
      const socket = new WebSocket(await addressOf(profile));
      await new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = () => reject(new Error("the browser does not take a connection"));
      });
      return new Chromium(child, profile, socket);
    } catch (error) {
      await ended(child, profile);
      throw error;
    }
  }

  /** A new tab, which shares nothing with those before; from then on this drives it. */
  async open(url: string, size: Size = { width: 1200, height: 800 }): Promise<void> {
    const { browserContextId } = await this.#call("Target.createBrowserContext");
    const { targetId } = await this.#call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.#call("Target.attachToTarget", { targetId, flatten: true });
    this.#session = sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.call(`${domain}.enable`);
    await this.resize(size);
    await this.call("Page.navigate", { url });
  }

  async resize({ width, height }: Size): Promise<void> {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  }

  async prefer(features: Readonly<Record<string, string>>): Promise<void> {
    const list = Object.entries(features).map(([name, value]) => ({ name, value }));
    await this.call("Emulation.setEmulatedMedia", { features: list });
  }

  /** What the expression comes to in the page. Rejects with what it throws. */
  async evaluate<T>(expression: string): Promise<T> {
    const asked = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", asked);
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  }

  /** Once the expression is true of the page. Rejects with what the page shows if it does not come to that. */
  async until(expression: string): Promise<void> {
    let wrong = "";
    for (const deadline = performance.now() + UNTIL_WITHIN_MS; performance.now() < deadline;) {
      try {
        if (await this.evaluate<boolean>(`Boolean(${expression})`)) return;
      } catch (error) {
        // A page that is about to be there has nothing to look at yet.
        wrong = `${error}`;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
    throw new Error(`not so: ${expression}\n${wrong}\n${await this.evaluate("document.body.innerText")}`);
  }

  async press(key: Key, modifiers = 0): Promise<void> {
    const { code, number, text } = KEYS[key];
    const event = { key: text === " " ? " " : key, code, windowsVirtualKeyCode: number, modifiers };
    await this.call("Input.dispatchKeyEvent", { type: text === undefined ? "rawKeyDown" : "keyDown", ...event, text });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async type(text: string): Promise<void> {
    await this.call("Input.insertText", { text });
  }

  async screenshot(file: string): Promise<void> {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    await Deno.writeFile(file, Uint8Array.fromBase64(data));
  }

  /** What the browser's threads do while `run` does, as events of Chromium's trace. */
  async trace(run: () => Promise<void>): Promise<readonly TraceEvent[]> {
    this.traced.length = 0;
    const config = { recordMode: "recordContinuously", includedCategories: TRACED };
    await this.#call("Tracing.start", { traceConfig: config, transferMode: "ReportEvents" });
    await run();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onTraceEnd = resolve;
    await this.#call("Tracing.end");
    await promise;
    return this.traced;
  }

  /** A command to the page, by the protocol's own names. */
  // deno-lint-ignore no-explicit-any
  call(method: string, params: object = {}): Promise<any> {
    return this.#call(method, params, this.#session);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await ended(this.#child, this.#profile);
  }

  // deno-lint-ignore no-explicit-any
  async #call(method: string, params: object = {}, sessionId?: string): Promise<any> {
    const id = ++this.#count;
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), CALL_WITHIN_MS);
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }));
    try {
      const { result, error } = await promise;
      if (error !== undefined) throw new Error(`${method}: ${error.message}`);
      return result;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #take(message: Message): void {
    if (message.id !== undefined) return this.#waiting.get(message.id)?.(message);
    const { method, params } = message;
    if (method === "Runtime.exceptionThrown") {
      this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
      this.complaints.push(JSON.stringify(params.args.map((arg: { value?: unknown }) => arg.value)));
    } else if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    } else if (method === "Network.requestWillBeSent") this.asked.push(params.request.url);
    else if (method === "Tracing.dataCollected") this.traced.push(...params.value);
    else if (method === "Tracing.tracingComplete") this.#onTraceEnd();
  }
}

/** As Chromium writes them; times are microseconds. */
export type TraceEvent = {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
};

/** How long each task of the main threads of this origin's pages took, by the clock and of CPU; not of the browser's own pages. */
export function mainThreadTasks(
  events: readonly TraceEvent[],
  origin: string,
): readonly { readonly wallMs: number; readonly cpuMs: number }[] {
  const own = new Set(
    events.filter(({ name, args }) => name === "ParseHTML" && JSON.stringify(args).includes(`"url":"${origin}/`))
      .map(({ pid }) => pid),
  );
  const mains = new Set(
    events.filter(({ name, args, pid }) =>
      own.has(pid) && name === "thread_name" && args?.["name"] === "CrRendererMain"
    )
      .map(({ pid, tid }) => `${pid}.${tid}`),
  );
  return events
    .filter(({ name, ph, pid, tid }) => ph === "X" && /RunTask$/.test(name) && mains.has(`${pid}.${tid}`))
    .map(({ dur = 0, tdur = dur }) => ({ wallMs: dur / 1_000, cpuMs: tdur / 1_000 }));
}

/** It writes it once it listens. */
async function addressOf(profile: string): Promise<string> {
  for (const deadline = performance.now() + PORT_WITHIN_MS; performance.now() < deadline;) {
    const [port, path] = (await Deno.readTextFile(`${profile}/DevToolsActivePort`).catch(() => "")).split("\n");
    if (path !== undefined) return `ws://127.0.0.1:${port}${path}`;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  throw new Error("the browser does not come up");
}

async function ended(child: Deno.ChildProcess, profile: string): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch {
    // It has ended.
  }
  await child.status;
  await removeAtLast(profile);
}
