/**
 * A CA and certificates for hosts, made on this machine. RSA with SHA-256, which every TLS library takes. The library comes
 * with the first certificate: no other command pays for it.
 */
import { createPrivateKey, generateKeyPair, randomBytes, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { promisify } from "node:util";
import { CommandError, UsageError } from "./report.ts";

/** PEM texts. */
export type Pair = { readonly cert: string; readonly key: string };

type Name = readonly { readonly name: string; readonly value: string }[];
type Certificate = {
  publicKey: unknown;
  serialNumber: string;
  readonly validity: { notBefore: Date; notAfter: Date };
  readonly subject: { readonly attributes: Name };
  setSubject(name: Name): void;
  setIssuer(name: Name): void;
  setExtensions(extensions: readonly Readonly<Record<string, unknown>>[]): void;
  generateSubjectKeyIdentifier(): { getBytes(): string };
  sign(key: unknown, digest: unknown): void;
};
/** What is used of node-forge, which has no types of its own. */
type Forge = {
  readonly pki: {
    createCertificate(): Certificate;
    certificateFromPem(pem: string): Certificate;
    certificateToPem(certificate: Certificate): string;
    publicKeyFromPem(pem: string): unknown;
    privateKeyFromPem(pem: string): unknown;
  };
  readonly md: { readonly sha256: { create(): unknown } };
};

const DAY_MS = 86_400_000;
const CA_DAYS = 3_650;
const CA_BITS = 3_072;
const LEAF_BITS = 2_048;
const SERIAL_BYTES = 16;
/** A wildcard may stand for the first label. */
const DNS_NAME = /^(?=.{1,253}$)(\*\.)?([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Names of one host, DNS names and addresses, comma between. Throws UsageError. */
export function namesOf(text: string): readonly [string, ...string[]] {
  const names = text.split(",").map((name) => name.trim().toLowerCase());
  for (const name of names) {
    const looksNumeric = /^[0-9.]+$/.test(name);
    if (isIP(name) === 0 && (looksNumeric || !DNS_NAME.test(name))) {
      throw new UsageError(`${JSON.stringify(name)} is neither a DNS name nor an address`);
    }
  }
  return names as [string, ...string[]];
}

/** A CA that may sign certificates of hosts and no further CA. */
export async function newCa(nowMs: number): Promise<Pair> {
  const forge = await loadForge();
  const keys = await keyPair(CA_BITS);
  // Two CAs of one name could not be told apart by who meets the certificates of both.
  const name = [{ name: "commonName", value: `Quorate CA ${randomBytes(4).toString("hex")}` }];
  const certificate = begun(forge, keys.publicKey, name, name, nowMs, CA_DAYS);
  certificate.setExtensions([
    { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    { name: "subjectKeyIdentifier" },
  ]);
  return signed(forge, certificate, keys.privateKey, keys.privateKey);
}

/** A certificate of a host of these names, from this CA. Throws CommandError if it would outlive the CA. */
export async function newLeaf(ca: Pair, names: readonly [string, ...string[]], days: number, nowMs: number) {
  const forge = await loadForge();
  const parent = forge.pki.certificateFromPem(ca.cert);
  const keys = await keyPair(LEAF_BITS);
  const subject = [{ name: "commonName", value: names[0].slice(0, 64) }];
  const certificate = begun(forge, keys.publicKey, subject, parent.subject.attributes, nowMs, days);
  if (certificate.validity.notAfter > parent.validity.notAfter) {
    const end = parent.validity.notAfter.toISOString().slice(0, 10);
    throw new CommandError(
      `the CA runs out on ${end}, before these certificates would; give fewer --days, or make another`,
    );
  }
  certificate.setExtensions([
    { name: "basicConstraints", cA: false, critical: true },
    { name: "keyUsage", digitalSignature: true, keyEncipherment: true, critical: true },
    { name: "extKeyUsage", serverAuth: true },
    {
      name: "subjectAltName",
      altNames: names.map((name) => isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name }),
    },
    { name: "subjectKeyIdentifier" },
    { name: "authorityKeyIdentifier", keyIdentifier: parent.generateSubjectKeyIdentifier().getBytes() },
  ]);
  return signed(forge, certificate, ca.key, keys.privateKey);
}

/** Throws CommandError, which names no content, unless this is a CA's certificate and its key. */
export function checkCa({ cert, key }: Pair, nowMs: number): void {
  let parsed: X509Certificate;
  let isOwn: boolean;
  try {
    parsed = new X509Certificate(cert);
    isOwn = parsed.checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new CommandError("it holds no PEM certificate and key that can be read");
  }
  if (!isOwn) throw new CommandError("its key is not that of its certificate");
  if (!parsed.ca) throw new CommandError("its certificate is not that of a CA");
  if (Date.parse(parsed.validTo) <= nowMs) throw new CommandError(`its certificate ran out on ${parsed.validTo}`);
}

async function loadForge(): Promise<Forge> {
  return (await import("node-forge")).default as Forge;
}

function begun(forge: Forge, publicKey: string, subject: Name, issuer: Name, nowMs: number, days: number): Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  // The first byte keeps the number positive and without a zero in front, as DER has it.
  certificate.serialNumber = `4${randomBytes(SERIAL_BYTES).toString("hex").slice(1)}`;
  // A host whose clock is slow is to take it too.
  certificate.validity.notBefore = new Date(nowMs - DAY_MS);
  certificate.validity.notAfter = new Date(nowMs + days * DAY_MS);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer);
  return certificate;
}

function signed(forge: Forge, certificate: Certificate, signer: string, key: string): Pair {
  certificate.sign(forge.pki.privateKeyFromPem(signer), forge.md.sha256.create());
  return { cert: forge.pki.certificateToPem(certificate).replaceAll("\r\n", "\n"), key };
}

async function keyPair(modulusLength: number): Promise<{ readonly publicKey: string; readonly privateKey: string }> {
  return await promisify(generateKeyPair)("rsa", {
    modulusLength,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}
