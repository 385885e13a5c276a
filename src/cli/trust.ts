/** Whose certificates a command trusts besides those that its runtime does. */
import { readFile } from "node:fs/promises";
import { webWorld } from "../client/world.ts";
import { CommandError, oneLine, UsageError } from "./report.ts";

type Fetch = typeof webWorld.fetch;
/** Node has it from 22.19 and 24.5 on. */
type Tls = {
  getCACertificates?(which: "default"): readonly string[];
  setDefaultCACertificates?(certificates: readonly string[]): void;
};

/**
 * A fetch that trusts this CA too. Rejects with CommandError if the file cannot be read or holds no certificate, with
 * UsageError where the runtime cannot be told.
 *
 * @param path of a PEM file; undefined: no CA but those that the runtime knows
 */
export async function fetchTrusting(path: string | undefined): Promise<Fetch> {
  if (path === undefined) return webWorld.fetch;
  let ca: string;
  try {
    ca = await readFile(path, "utf8");
  } catch (error) {
    throw new CommandError(`cannot read --tls-ca ${path}: ${oneLine(error)}`);
  }
  if (!ca.includes("-----BEGIN CERTIFICATE-----")) throw new CommandError(`--tls-ca holds no PEM certificate: ${path}`);
  if ("Deno" in globalThis) {
    const { Outward } = await import("../compose/outward.ts");
    try {
      return new Outward(ca).fetch;
    } catch (error) {
      throw new CommandError(oneLine(error));
    }
  }
  const tls = await import("node:tls") as unknown as Tls;
  if (tls.getCACertificates === undefined || tls.setDefaultCACertificates === undefined) {
    throw new UsageError("--tls-ca needs Deno, or Node 22.19 or newer; in this Node set NODE_EXTRA_CA_CERTS instead");
  }
  try {
    tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
  } catch (error) {
    throw new CommandError(`--tls-ca holds no certificate of a CA: ${oneLine(error)}`);
  }
  return webWorld.fetch;
}
