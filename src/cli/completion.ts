/** What a shell completes after `quorate`: a script for each, made of the commands and flags as they are. */
import type { Command } from "commander";

type Verb = { readonly name: string; readonly summary: string; readonly words: readonly string[] };

export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Undefined: no such shell. */
export function completionFor(shell: string, program: Command): string | undefined {
  const verbs = program.commands.map((command): Verb => ({
    name: command.name(),
    summary: command.description(),
    words: [...command.commands.map((below) => below.name()), ...flagsOf(command)],
  }));
  const names = verbs.map(({ name }) => name).join(" ");
  const cases = verbs.map(({ name, words }) => `      ${name}) found="${words.join(" ")}" ;;`).join("\n");
  switch (shell) {
    case "bash":
      return `_quorate() {
  local found="${names}"
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "\${COMP_WORDS[1]}" in
${cases}
      *) found="" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$found" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _quorate quorate`;
    case "zsh":
      return `#compdef quorate
_quorate() {
  local found="${names}"
  if (( CURRENT > 2 )); then
    case "$words[2]" in
${cases}
      *) found="" ;;
    esac
  fi
  compadd -- \${=found}
}
compdef _quorate quorate`;
    case "fish":
      return verbs.flatMap(({ name, summary, words }) => [
        `complete -c quorate -n __fish_use_subcommand -a ${name} -d ${fishWord(summary)}`,
        `complete -c quorate -n '__fish_seen_subcommand_from ${name}' -a ${fishWord(words.join(" "))}`,
      ]).join("\n");
    default:
      return undefined;
  }
}

/** Those of the commands below it too. */
function flagsOf(command: Command): readonly string[] {
  const all = [command, ...command.commands].flatMap(({ options }) => options.flatMap(({ long }) => long ?? []));
  return [...new Set(all)];
}

function fishWord(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
