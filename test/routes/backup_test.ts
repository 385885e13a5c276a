import { assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import type { BackupRecord } from "../../src/backup/backup_file.ts";
import { BACKUP_PAGE_KEYS } from "../../src/limits.ts";
import { createMachine, wholeHashOf } from "../../src/machine/machine.ts";
import { withApps } from "./memory_apps.ts";

const machine = createMachine({ digest: sha256Hex });
type Page = { readonly restored: number; readonly items: readonly BackupRecord[]; readonly cursor: string | null };

Deno.test("backup: every key, in byte order, over pages; what was deleted too, and nothing that was only asked for", () =>
  withApps(3, async (apps) => {
    const count = BACKUP_PAGE_KEYS + 20;
    const ask = async (path: string, init?: RequestInit) => await (await apps.ask("a", path, init)).json();
    for (let at = 0; at < count; at += 92) {
      const some = Array.from({ length: 92 }, (_, i) => ({ method: "POST", path: `/v1/locks/n${at + i}`, body: {} }));
      await ask("/v1/batch", { method: "POST", body: JSON.stringify(some) });
    }
    await ask("/v1/kv/gone", { method: "PUT", body: "x" });
    await ask("/v1/kv/gone", { method: "DELETE", headers: { "Idempotency-Key": "k" } });
    await ask("/v1/locks/only-asked-for");
    const items: BackupRecord[] = [];
    let pages = 0;
    for (let after: string | null = ""; after !== null && pages < 20; pages++) {
      const page: Page = await ask(`/v1/backup?after=${encodeURIComponent(after)}`);
      assertEquals(page.restored, 0);
      items.push(...page.items);
      after = page.cursor;
    }
    assertGreater(pages, 5);
    const keys = items.map(({ key }) => key);
    assertEquals(keys, ["kv/gone", ...Array.from({ length: count }, (_, i) => `lock/n${i}`).sort()]);
    for (const { key, hash, state } of items) assertEquals(wholeHashOf(machine, state), hash, key);
  }));

const token = (name: string, ...scopes: string[]) => ({ subject: name, sha256: sha256Hex(name), scopes });
const TOKENS = parseTokens(
  JSON.stringify([token("all", "admin:*"), token("reads", "*:read,write:*"), token("part", "admin:a/*")]),
);

Deno.test("backup: it takes admin of everything; a query that is none is refused", () =>
  withApps(1, async (apps) => {
    const status = async (path: string, bearer?: string) => {
      const headers = bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` };
      return (await apps.ask("a", path, { headers })).status;
    };
    assertEquals(await status("/v1/backup"), 401);
    for (const bearer of ["reads", "part"]) assertEquals(await status("/v1/backup", bearer), 403);
    assertEquals(await status("/v1/backup", "all"), 200);
    assertEquals(await status("/v1/backup?after=session%2F0", "all"), 200);
    for (const query of ["after=a&after=b", "limit=1", "timeoutMs=1"]) {
      assertEquals(await status(`/v1/backup?${query}`, "all"), 400, query);
    }
  }, { tokens: TOKENS }));
