/** The real server, where this machine has one: `denokv` on PATH, or at the path that QUORATE_DENOKV names. */

/** A `denokv` takes no shorter ones than 12 characters. */
export const ACCESS_TOKEN = "token-of-the-tests";
const START_MS = 30_000;
const LOG_KEPT_CHARS = 4_096;

/** What a `denokv` allows in one atomic write; databases that Deno hosts allow 100. */
export const DENOKV_CHECKS_MAX = 10;

export type Denokv = AsyncDisposable & { readonly url: string; readonly accessToken: string; readonly pid: number };

/** Path of the program, or null. Throws if QUORATE_DENOKV names none. */
export async function findDenokv(): Promise<string | null> {
  const named = Deno.env.get("QUORATE_DENOKV");
  if (named !== undefined && !await isProgram(named)) throw new Error(`QUORATE_DENOKV: ${named} is no denokv`);
  if (named !== undefined) return named;
  return await isProgram("denokv") ? "denokv" : null;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    return (await new Deno.Command(path, { args: ["--help"], stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** One database on a file of its own, which is deleted at the end. */
export async function startDenokv(program: string): Promise<Denokv> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-denokv-" });
  const child = new Deno.Command(program, {
    args: ["--sqlite-path", `${folder}/kv.sqlite`, "serve", "--addr", "127.0.0.1:0", "--access-token", ACCESS_TOKEN],
    // Without this it does not tell which port it was given.
    env: { RUST_LOG: "info" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const killer = setTimeout(() => child.kill("SIGKILL"), START_MS);
  const { url, drained } = listening(child.stderr);
  const end = async (): Promise<void> => {
    clearTimeout(killer);
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await Promise.all([child.status, drained]);
    await Deno.remove(folder, { recursive: true });
  };
  try {
    const found = await url;
    clearTimeout(killer);
    return { url: found, accessToken: ACCESS_TOKEN, pid: child.pid, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Read to the end, lest a full pipe stops the server. */
function listening(stderr: ReadableStream<Uint8Array>): { url: Promise<string>; drained: Promise<void> } {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const drain = async (): Promise<void> => {
    let said = "";
    for await (const text of stderr.pipeThrough(new TextDecoderStream())) {
      said = (said + text).slice(-LOG_KEPT_CHARS);
      const found = /Listening on (http:\S+)\n/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    }
    reject(new Error(`denokv ended: ${said}`));
  };
  return { url: promise, drained: drain() };
}
