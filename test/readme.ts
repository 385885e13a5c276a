/** README.md taken apart, for the tests that hold it to what it says. */

export const README = await Deno.readTextFile(new URL("../README.md", import.meta.url));

/** The text below `## title`, up to the next of its rank. */
export function section(title: string): string {
  const [, after] = README.split(`\n## ${title}\n`);
  if (after === undefined) throw new Error(`README has no section ${title}`);
  return after.split("\n## ")[0]!;
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
