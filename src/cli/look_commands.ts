/** The commands that look at a cluster or write registers, with their flags. */
import type { Command } from "commander";
import type { VerifyFlags } from "./backup.ts";
import { type RepairFlags, runRepair } from "./repair.ts";
import { type CertFlags, runCertNew } from "./cert.ts";
import { completionFor, SHELLS } from "./completion.ts";
import { runDoctor } from "./doctor.ts";
import { kvDelete, kvGet, kvList, kvPut, kvWatch, type PutFlags, type WriteFlags } from "./kv.ts";
import type { Common } from "./cluster.ts";
import { type ListFlags, LISTS, type OfNoun, runForce, runGet, runHistory, runList, runWatch } from "./look.ts";
import {
  type MemberFlags,
  type ReplaceFlags,
  runMemberAdd,
  runMemberList,
  runMemberRemove,
  runMemberReplace,
} from "./member.ts";
import type { Parts } from "./program.ts";
import { CommandError, EXIT_USAGE, reportFailure } from "./report.ts";
import { runRaise } from "./raise.ts";
import { runStatus } from "./status.ts";
import { runTokenNew, type TokenFlags } from "./token.ts";
import { verb } from "./verb.ts";

export function kvCommands({ program, does }: Parts): void {
  const kv = program.command("kv").description("read and write registers");
  const conditions = (command: Command) =>
    command.option("--if-match <revision>", "only over this revision")
      .option("--fence <fence>", "refused once the key saw a higher one");
  verb(kv, "get <key>", "print a value")
    .action((key: string, flags: Common) => does(() => kvGet(key, flags)));
  conditions(verb(kv, "put <key> [value]", "write a value, or standard input; prints the revision"))
    .option("--if-absent", "only where there is none")
    .option("--ttl <duration>", "it ends unless it is put again")
    .option("--content-type <type>", "its media type")
    .action((key: string, value: string | undefined, flags: PutFlags) => does(() => kvPut(key, value, flags)));
  conditions(verb(kv, "delete <key>", "delete a value"))
    .action((key: string, flags: WriteFlags) => does(() => kvDelete(key, flags)));
  verb(kv, "ls [prefix]", "list keys, their revisions and sizes")
    .action((prefix: string | undefined, flags: Common) => does(() => kvList(prefix ?? "", flags)));
  verb(kv, "watch [prefix]", "print each change")
    .action((prefix: string | undefined, flags: Common) => does(() => kvWatch(prefix ?? "", flags)));
}

export function lookCommands({ program, does }: Parts): void {
  for (const list of LISTS) {
    const command = verb(program, `${list} [prefix]`, `list ${list}`);
    if (list !== "sessions") command.option("--held-for <duration>", "only what somebody has held for so long, as 10m");
    command.action((prefix: string | undefined, flags: ListFlags) => does(() => runList(list, prefix ?? "", flags)));
  }
  const ofNoun = (usage: string, summary: string) =>
    verb(program, usage, summary).option("--noun <noun>", "lock, election or semaphore", "lock");
  ofNoun("get <name>", "print the state of one name")
    .action((name: string, flags: OfNoun) => does(() => runGet(name, flags)));
  ofNoun("watch <name>", "print each change of one name; of a register with --noun kv")
    .action((name: string, flags: OfNoun) => does(() => runWatch(name, flags)));
  ofNoun("history <name>", "print how the last grants of one name ended")
    .action((name: string, flags: OfNoun) => does(() => runHistory(name, flags)));
  ofNoun("force <name>", "end whatever is held of one name; needs the scope admin")
    .requiredOption("--reason <text>", "why, for its history")
    .action((name: string, flags: OfNoun & { reason: string }) => does(() => runForce(name, flags)));
  verb(program, "repair <name>", "print whose records of one name are wrong, and what a repair will do; --yes does it")
    .option("--noun <noun>", "lock, election, semaphore, kv or session", "lock")
    .option("--yes", "do what was printed")
    .option("--accept <hash>", "the state that it is to be, where the nodes cannot agree: at one node, named by --url")
    .action((name: string, flags: RepairFlags) => does(() => runRepair(name, flags)));
  verb(program, "backup <file>", "write all that the cluster holds to a file; goes on with one that was begun")
    .action((file: string, flags: Common) => does(() => inDeno("backup", ({ runBackup }) => runBackup(file, flags))));
  verb(program, "verify <file>", "check a backup, line by line")
    .option("--cluster", "compare it with what the cluster holds, too")
    .action((file: string, flags: VerifyFlags) =>
      does(() => inDeno("verify", ({ runVerify }) => runVerify(file, flags)))
    );
  verb(program, "raise", "end an upgrade: let nodes use what older ones do not know; needs the scope admin:*")
    .action((flags: Common) => does(() => runRaise(flags)));
  verb(program, "status", "print which nodes answer and vote")
    .action((flags: Common) => does(() => runStatus(flags)));
  verb(
    program,
    "doctor [urls...]",
    "print what is wrong with the cluster and what to do, the worst first",
    "quorate doctor http://10.0.0.1:8701 http://10.0.0.2:8701 http://10.0.0.3:8701",
  )
    .action((urls: string[], flags: Common) => does(() => runDoctor(urls, flags)));
}

export function memberCommands({ program, does }: Parts): void {
  const member = program.command("member").description("list members, and change them; needs the scope admin");
  const change = (usage: string, summary: string, ...examples: readonly string[]) =>
    verb(member, usage, summary, ...examples).option(
      "--no-wait",
      "end once the members have changed; names move later",
    );
  verb(member, "list", "print the members, and what still has to move to them")
    .action((flags: Common) => does(() => runMemberList(flags)));
  change("add <members...>", "make nodes members that wait to join", "quorate member add d=http://10.0.0.4:8701")
    .action((added: string[], flags: MemberFlags) => does(() => runMemberAdd(added, flags)));
  change("remove <ids...>", "make these no members any more")
    .action((ids: string[], flags: MemberFlags) => does(() => runMemberRemove(ids, flags)));
  change(
    "replace <id>",
    "put a node that waits to join in the place of a member",
    "quorate member replace c --with d=http://10.0.0.4:8701",
  )
    .requiredOption("--with <member>", "its id and URL")
    .action((id: string, flags: ReplaceFlags) => does(() => runMemberReplace(id, flags)));
}

export function localCommands({ program, does }: Parts): void {
  const token = program.command("token").description("make tokens of clients");
  token.command("new <subject>").description("print a token, and its entry of QUORATE_TOKENS; asks no node")
    .requiredOption("--scope <scopes...>", "as in lock:read,write:deploy/*")
    .option("--json", "JSON")
    .action((subject: string, flags: TokenFlags) => does(() => runTokenNew(subject, flags)));
  const cert = program.command("cert").description("make certificates of hosts");
  cert.command("new <hosts...>")
    .description("make a certificate and key for each host, from a CA that is made with the first; asks no node")
    .option("--out <folder>", "where they are put; the CA that is there is used again", "certs")
    .option("--days <number>", "how long they are good", "825")
    .option("--json", "JSON")
    .addHelpText("after", "\nA host is its DNS names and addresses, comma between: 10.0.0.1 b.example,10.0.0.2")
    .action((hosts: string[], flags: CertFlags) => does(() => runCertNew(hosts, flags)));
  program.command("completion <shell>").description(`print completion for ${SHELLS.join(", ")}`)
    .action((shell: string) =>
      does(() => {
        const script = completionFor(shell, program);
        if (script === undefined) console.error(`quorate completion: "${shell}" is not one of ${SHELLS.join(", ")}`);
        else console.log(script);
        return Promise.resolve(script === undefined ? EXIT_USAGE : 0);
      })
    );
}

/** Loaded when it is asked for: the package for other runtimes has no code of nodes. The exit code. */
async function inDeno(verb: string, run: (backups: typeof import("./backup.ts")) => Promise<number>): Promise<number> {
  if ("Deno" in globalThis) return await run(await import("./backup.ts"));
  return reportFailure(verb, new CommandError("runs in Deno alone, as the nodes do"));
}
