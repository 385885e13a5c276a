/** Opens a Deno KV database that others may serve too. */
import { StoreError } from "../ports.ts";
import { asStoreError, within } from "./kv_calls.ts";

/** Where Deno looks for what a database behind a URL asks for, when it is opened. */
const TOKEN_VARIABLE = "DENO_KV_ACCESS_TOKEN";
const OPEN_WITHIN_MS = 10_000;

/** The variable is the process's, so databases with tokens of their own are opened one after another. */
let opening: Promise<unknown> = Promise.resolve();

/**
 * @param url null: the one that the platform attached
 * @param token null: what the variable says already
 * Rejects with StoreError in one line.
 */
export function openSharedKv(url: string | null, token: string | null): Promise<Deno.Kv> {
  const opened = opening.then(() => openWith(url, token));
  opening = opened.catch(() => {});
  return opened;
}

async function openWith(url: string | null, token: string | null): Promise<Deno.Kv> {
  const name = url ?? "attached database";
  if (typeof Deno.openKv !== "function") throw new StoreError(`${name}: this runtime has no Deno KV`);
  const before = token === null ? undefined : Deno.env.get(TOKEN_VARIABLE);
  try {
    if (token !== null) Deno.env.set(TOKEN_VARIABLE, token);
    return await within(OPEN_WITHIN_MS, name, url === null ? Deno.openKv() : Deno.openKv(url));
  } catch (error) {
    throw asStoreError(name, error);
  } finally {
    if (token !== null) {
      if (before === undefined) Deno.env.delete(TOKEN_VARIABLE);
      else Deno.env.set(TOKEN_VARIABLE, before);
    }
  }
}

/**
 * Whether what is written is seen through another handle too: a platform with no database attached may hand out one that
 * lives and dies with the process.
 */
export async function outlivesProcess(kv: Deno.Kv, open: () => Promise<Deno.Kv>): Promise<boolean> {
  const row = ["q", "probe", crypto.randomUUID()];
  await within(OPEN_WITHIN_MS, "attached database", kv.set(row, 1));
  const other = await open();
  try {
    const seen = await within(OPEN_WITHIN_MS, "attached database", other.get(row));
    return seen.value !== null;
  } finally {
    other.close();
    await kv.delete(row);
  }
}
