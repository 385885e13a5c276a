/** Path and query as they are written, beside what a URL makes of them. */

/**
 * Whether a URL names what was written: one folds `..`, turns `\` into `/` and drops line ends, and then it is another name
 * that is asked for. That it escapes more than the writer did changes nothing.
 */
export function isKeptByUrl(target: string): boolean {
  if (!URL.canParse(`http://node${target}`)) return false;
  const { href, origin } = new URL(`http://node${target}`);
  return unescaped(href.slice(origin.length)) === unescaped(target);
}

/** Byte by byte, for comparison only. */
function unescaped(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}
