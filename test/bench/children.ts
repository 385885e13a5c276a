/** Server processes of another system, ended by their own handles. */

/** Resolves when all have ended. */
export async function killAll(children: readonly Deno.ChildProcess[]): Promise<void> {
  for (const child of children) {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
  await Promise.all(children.map(({ status }) => status));
}

const TRIES = 600;
const AGAIN_MS = 50;

/** Resolves when `isThere` does with true. */
export async function ready(name: string, isThere: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < TRIES; i++) {
    if (await isThere().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  throw new Error(`${name} did not become healthy`);
}
