/** The TypeScript on the pages about the package runs as it stands. */
import { assertEquals } from "@std/assert";

const PAGES = ["docs/hono.md", "docs/testing.md"];

for (const page of PAGES) {
  Deno.test(`${page}: its TypeScript runs as it stands`, async () => {
    const text = await Deno.readTextFile(new URL(`../../${page}`, import.meta.url));
    const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
    assertEquals(blocks.length, 1);
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    try {
      await Deno.writeTextFile(file, blocks[0]!);
      await import(`file://${file}`);
    } finally {
      await Deno.remove(file);
    }
  });
}
