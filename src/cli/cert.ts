/** `cert new`: certificates of hosts, from a CA of one's own that is made with the first of them. Asks no node. */
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { checkCa, namesOf, newCa, newLeaf, type Pair } from "./certificates.ts";
import { CommandError, EXIT_FAILED, EXIT_USAGE, oneLine, UsageError } from "./report.ts";
import { jsonLine } from "./tell.ts";

export type CertFlags = { readonly out: string; readonly days: string; readonly json?: true };

/** Where a pair stands. */
type Files = { readonly cert: string; readonly key: string };

const DAYS_MAX = 3_650;
const HOSTS_MAX = 64;

/** The exit code. What is there already is never written over. */
export async function runCertNew(hosts: readonly string[], flags: CertFlags): Promise<number> {
  try {
    if (!("Deno" in globalThis)) throw new CommandError("runs in Deno alone, as the nodes it makes certificates for");
    const made = await makeCertificates(hosts, flags);
    if (flags.json) console.log(jsonLine(made));
    else for (const { cert, key } of [made.ca, ...made.hosts]) console.log(`${cert}\t${key}`);
    return 0;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    console.error(`quorate cert new: ${oneLine(error)}`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
  }
}

async function makeCertificates(hosts: readonly string[], { out, days }: CertFlags) {
  const nowMs = Date.now();
  const lasting = daysOf(days);
  if (hosts.length > HOSTS_MAX) throw new UsageError(`takes ${HOSTS_MAX} hosts at a time, not ${hosts.length}`);
  const leaves = hosts.map((host) => {
    const names = namesOf(host);
    return { names, files: filesOf(out, names[0]) };
  });
  // All is looked at before anything is written.
  const caFiles = filesOf(out, "ca");
  const taken = new Set([caFiles.cert, caFiles.key]);
  for (const { names, files } of leaves) {
    for (const path of [files.cert, files.key]) {
      if (taken.has(path)) throw new UsageError(`${path}, for ${names[0]}, is a file of the CA or of another host too`);
      taken.add(path);
      if (await isThere(path)) throw new CommandError(`${path} is there already; move it away to make another`);
    }
  }
  await tried(`make the folder ${out}`, () => mkdir(out, { recursive: true }));
  const ca = await keptCa(caFiles, nowMs) ?? await put(caFiles, await newCa(nowMs));
  for (const { names, files } of leaves) await put(files, await newLeaf(ca, names, lasting, nowMs));
  return { ca: caFiles, hosts: leaves.map(({ names, files }) => ({ names, ...files })) };
}

/** Null: there is none yet. */
async function keptCa(files: Files, nowMs: number): Promise<Pair | null> {
  const [hasCert, hasKey] = [await isThere(files.cert), await isThere(files.key)];
  if (!hasCert && !hasKey) return null;
  if (!hasCert || !hasKey) {
    const [there, missing] = hasCert ? [files.cert, files.key] : [files.key, files.cert];
    throw new CommandError(`${missing} is missing beside ${there}; a CA of that name cannot be made again`);
  }
  const read = (path: string) => tried(`read ${path}`, () => readFile(path, "utf8"));
  const ca = { cert: await read(files.cert), key: await read(files.key) };
  try {
    checkCa(ca, nowMs);
  } catch (error) {
    throw new CommandError(`cannot use the CA ${files.cert}: ${oneLine(error)}`);
  }
  return ca;
}

/** The key first: a certificate without one says nothing of what is missing. */
async function put(files: Files, pair: Pair): Promise<Pair> {
  for (const [path, text, mode] of [[files.key, pair.key, 0o600], [files.cert, pair.cert, 0o644]] as const) {
    await tried(`write ${path}`, async () => {
      await writeFile(path, text, { flag: "wx", mode });
      // Whatever the umask leaves of it.
      await chmod(path, mode);
    });
  }
  return pair;
}

function filesOf(folder: string, name: string): Files {
  // A wildcard and an IPv6 address have characters that shells and other systems do not like in a name.
  const base = `${folder}/${name.replace("*", "_").replaceAll(":", "-")}`;
  return { cert: `${base}.pem`, key: `${base}-key.pem` };
}

function daysOf(text: string): number {
  const days = /^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : NaN;
  if (!(days <= DAYS_MAX)) {
    throw new UsageError(`--days is not a number of days, 1 to ${DAYS_MAX}: ${JSON.stringify(text)}`);
  }
  return days;
}

async function isThere(path: string): Promise<boolean> {
  return await tried(`look at ${path}`, () =>
    stat(path).then(() => true, (error) => {
      if ((error as { code?: string }).code === "ENOENT") return false;
      throw error;
    }));
}

async function tried<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CommandError(`cannot ${what}: ${oneLine(error)}`);
  }
}
