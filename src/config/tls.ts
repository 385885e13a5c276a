/** Settings of TLS: what a node or gateway shows, which CA it trusts besides the system's, and who may go without. */
import { isIP } from "node:net";
import { type Read, refuse, type Setting } from "./settings.ts";

/** PEM texts: a chain, the node's own certificate first, and its key. */
export type Tls = { readonly cert: string; readonly key: string };

const CERTIFICATE = "-----BEGIN CERTIFICATE-----";

export async function tlsOf(cert: string | undefined, key: string | undefined, read: Read): Promise<Tls | null> {
  if (cert === undefined && key === undefined) return null;
  if (cert === undefined) refuse("--tls-key", "needs --tls-cert too");
  if (key === undefined) refuse("--tls-cert", "needs --tls-key too");
  const tls = {
    cert: await read({ name: "--tls-cert", text: cert }),
    key: await read({ name: "--tls-key", text: key }),
  };
  if (!tls.cert.includes(CERTIFICATE)) refuse("--tls-cert", `holds no PEM certificate: ${cert}`);
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(tls.key)) refuse("--tls-key", `holds no PEM private key: ${key}`);
  return tls;
}

/** The CA that nodes' certificates may come from besides those of the system, as a PEM text. */
export async function caOf(setting: Setting | null, read: Read): Promise<string | null> {
  if (setting === null) return null;
  const ca = await read(setting);
  // A text without any would be taken as well, and trust nobody.
  if (!ca.includes(CERTIFICATE)) refuse(setting.name, `holds no PEM certificate: ${setting.text}`);
  return ca;
}

/**
 * Those of these nodes that are asked over plain HTTP on a network.
 *
 * @param urls by id
 */
export function inTheClear(urls: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(urls).filter((id) => {
    const { protocol, hostname } = new URL(urls[id]!);
    return protocol === "http:" && !staysOnMachine(hostname);
  });
}

/** By the name alone: what another name resolves to may be different in a moment. */
function staysOnMachine(hostname: string): boolean {
  if (isIP(hostname) === 4) return hostname.startsWith("127.");
  return hostname === "[::1]" || /(^|\.)localhost\.?$/.test(hostname);
}
