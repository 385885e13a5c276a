/** Output of a child process, line by line. */

/** A child that writes no line breaks must not fill this process's memory. */
const LINE_MAX_CHARS = 16 * 1024;

/** Calls back for each line, without its break, the last one too if it has none. Resolves when the stream ends. */
export async function eachLine(stream: ReadableStream<Uint8Array>, call: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) call(part);
    if (rest.length > LINE_MAX_CHARS) {
      call(rest);
      rest = "";
    }
  }
  rest += decoder.decode();
  if (rest !== "") call(rest);
}
