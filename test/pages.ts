/** The project's pages taken apart, for the tests that hold them to what they say. */

export const ROOT = new URL("../", import.meta.url);

/** README.md, its neighbours and everything below docs, by path from the project's root. */
export const PAGES: ReadonlyMap<string, string> = await readPages();

async function readPages(): Promise<ReadonlyMap<string, string>> {
  const pages = new Map<string, string>();
  for (const folder of ["", "docs/", "docs/recipes/"]) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (name.endsWith(".md")) pages.set(`${folder}${name}`, await Deno.readTextFile(new URL(folder + name, ROOT)));
    }
  }
  return pages;
}

/** The text of one page. Throws if there is none. */
export function page(path: string): string {
  const text = PAGES.get(path);
  if (text === undefined) throw new Error(`there is no page ${path}`);
  return text;
}

/** The text below `## title` of a page, up to the next of its rank. */
export function section(path: string, title: string): string {
  const [, after] = page(path).split(`\n## ${title}\n`);
  if (after === undefined) throw new Error(`${path} has no section ${title}`);
  return after.split("\n## ")[0]!;
}

export type Block = { readonly language: string; readonly text: string };

/** The blocks of a page that say which language they are in. */
export function blocks(path: string): readonly Block[] {
  return [...page(path).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .map(([, language, text]) => ({ language: language!, text: text! }));
}

/** Cells of every row but the rulers. */
export function tableRows(text: string): readonly (readonly string[])[] {
  return text.split("\n").filter((line) => line.startsWith("| ")).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
}

/** What stands between backticks. */
export function quoted(text: string): readonly string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, inner]) => inner!);
}
