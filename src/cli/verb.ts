/** What all commands that ask a cluster have alike. */
import type { Command } from "commander";

/** A subcommand with the flags that all have. */
export function verb(program: Command, usage: string, summary: string, ...examples: readonly string[]): Command {
  const made = program.command(usage).description(summary)
    .option("--url <urls>", "nodes or gateways, comma between; or QUORATE_URL")
    .option("--token-file <file>", "where the client's token stands; or QUORATE_TOKEN has it")
    .option("--tls-ca <file>", "PEM file of a CA to trust besides the system's; or QUORATE_TLS_CA")
    .option("--timeout <duration>", "how long a request is tried, waiting not counted", "10s")
    .option("--json", "JSON, one document a line where it streams");
  if (examples.length > 0) made.addHelpText("after", `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}`);
  return made;
}
