/** JSON for the data of events: nothing a reader could take for the end of a line, nor read differently in another charset. */

/** The text of `value`, as visible ASCII and spaces alone. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, escaped);
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
