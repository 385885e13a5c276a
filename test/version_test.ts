/** The release has one number, wherever it is said. */
import { assertEquals } from "@std/assert";
import { VERSION } from "../src/version.ts";

Deno.test("version: the package's is the one that nodes tell", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  assertEquals(version, VERSION);
});
