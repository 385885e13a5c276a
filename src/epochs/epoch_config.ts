/**
 * Epochs as text: what is decided under a reserved key, what a store keeps, and what nodes tell each other. One epoch has one
 * text, so nodes compare and hash it.
 */
import { canonical } from "../config/cluster_config.ts";
import { MODE_NAMES, type ModeRule } from "../engine/modes.ts";
import { EPOCHS_MAX_BYTES, MEMBER_URL_MAX_CHARS, MEMBERS_MAX, RESTORES_MAX } from "../limits.ts";
import type { EpochConfig, EpochsRow } from "../ports.ts";
import {
  distinct,
  type Fields,
  fieldsOf,
  integer,
  list,
  oneOf,
  parseJson,
  record,
  refuse,
  text,
} from "../transport/checks.ts";

const MODES_MAX = 256;
const PREFIX_MAX_CHARS = 1_024;

/** Fields in this order, members in byte order, no spaces. */
export function epochText({ cluster, epoch, members, modes, restored, origin }: EpochConfig): string {
  return JSON.stringify({
    cluster,
    epoch,
    members: sorted(members).map(({ id, url }) => ({ id, url })),
    modes: modes.map(({ prefix, mode }) => ({ prefix, mode })),
    ...(restored === undefined ? {} : { restored: { count: restored.count, digest: restored.digest } }),
    ...(origin === undefined ? {} : { origin: originIn(origin) }),
  });
}

/** The ClusterConfig of the epoch, of which URLs are no part; epoch 0 has the text that init wrote. */
export function clusterConfigIn({ members, ...config }: EpochConfig): { readonly text: string; readonly hash: string } {
  return canonical({ ...config, members: members.map(({ id }) => id) });
}

/** Throws QuorateError `invalid-request` for what is no epoch in its one text. */
export function parseEpoch(json: string): EpochConfig {
  const config = readEpoch(parseJson(json, EPOCHS_MAX_BYTES), "epoch");
  if (epochText(config) !== json) refuse("epoch", "is not written as epochs are");
  return config;
}

/** Both epochs as one text. */
export function rowText({ before, beforeFirst, current, first }: EpochsRow): string {
  const [was, is] = [epochText(before), epochText(current)];
  return `{"before":${was},"beforeFirst":${beforeFirst},"current":${is},"first":${first}}`;
}

const ROW = fieldsOf<EpochsRow>({ before: 1, beforeFirst: 1, current: 1, first: 1 });
const EPOCH = fieldsOf<EpochConfig>({ cluster: 1, epoch: 1, members: 1, modes: 1, restored: 1, origin: 1 });
const LIFE = fieldsOf<NonNullable<EpochConfig["origin"]>[number]>({ id: 1, incarnation: 1 });
const MEMBER = fieldsOf<EpochConfig["members"][number]>({ id: 1, url: 1 });
const MODE = fieldsOf<ModeRule>({ prefix: 1, mode: 1 });
const RESTORED = fieldsOf<NonNullable<EpochConfig["restored"]>>({ count: 1, digest: 1 });

/** Throws QuorateError `invalid-request`, whose `field` begins with this one. */
export function readRow(value: unknown, field: string): EpochsRow {
  const { current, before, beforeFirst, first } = record(value, field, ROW);
  const row = {
    before: readEpoch(before, `${field}.before`),
    beforeFirst: integer(beforeFirst, `${field}.beforeFirst`, 1),
    current: readEpoch(current, `${field}.current`),
    first: first === null ? null : integer(first, `${field}.first`, 1),
  };
  if (row.current.epoch !== row.before.epoch + 1) refuse(`${field}.before`, "is not the epoch before");
  if (row.current.cluster !== row.before.cluster) refuse(`${field}.before`, "is of another cluster");
  return row;
}

function readEpoch(value: unknown, field: string): EpochConfig {
  const { cluster, epoch, members, modes, restored, origin } = record(value, field, EPOCH);
  const read = list(members, `${field}.members`, MEMBERS_MAX).map((member, i) =>
    readMember(member, `${field}.members[${i}]`)
  );
  if (read.length === 0 || read.length === 2) refuse(`${field}.members`, "are none or two");
  distinct(read.map(({ id }) => id), `${field}.members`);
  distinct(read.map(({ url }) => url), `${field}.members`);
  return {
    cluster: text(cluster, `${field}.cluster`, 1, 128),
    epoch: integer(epoch, `${field}.epoch`, 0),
    members: sorted(read),
    modes: list(modes, `${field}.modes`, MODES_MAX).map((rule, i) => readMode(rule, `${field}.modes[${i}]`)),
    ...(restored === undefined ? {} : { restored: readRestored(restored, `${field}.restored`) }),
    ...(origin === undefined ? {} : { origin: readOrigin(origin, `${field}.origin`) }),
  };
}

function readMember(value: unknown, field: string): EpochConfig["members"][number] {
  const { id, url } = record(value, field, MEMBER);
  return { id: memberId(id, `${field}.id`), url: memberUrl(url, `${field}.url`) };
}

/** As `--id` takes them. */
export function memberId(value: unknown, field: string): string {
  const id = text(value, field, 1, 32);
  if (!/^[a-z0-9-]+$/.test(id)) refuse(field, 'is not 1 to 32 of a-z, 0-9 and "-"');
  return id;
}

/** An origin, as `--cluster` takes them. */
export function memberUrl(value: unknown, field: string): string {
  const url = text(value, field, 1, MEMBER_URL_MAX_CHARS);
  if (!/^https?:\/\//.test(url) || !URL.canParse(url) || new URL(url).origin !== url) {
    refuse(field, "is no http or https URL of a host alone, as in http://10.0.0.4:8701");
  }
  return url;
}

function readMode(value: unknown, field: string): ModeRule {
  const { prefix, mode } = record(value, field, MODE);
  return {
    prefix: text(prefix, `${field}.prefix`, 1, PREFIX_MAX_CHARS),
    mode: oneOf(mode, `${field}.mode`, MODE_NAMES),
  };
}

function readRestored(value: unknown, field: string): NonNullable<EpochConfig["restored"]> {
  const { count, digest }: Fields = record(value, field, RESTORED);
  if (integer(count, `${field}.count`, 1) > RESTORES_MAX) refuse(`${field}.count`, `is above ${RESTORES_MAX}`);
  return { count: count as number, digest: text(digest, `${field}.digest`, 1, 128) };
}

function readOrigin(value: unknown, field: string): NonNullable<EpochConfig["origin"]> {
  const lives = list(value, field, MEMBERS_MAX).map((one, i) => {
    const { id, incarnation } = record(one, `${field}[${i}]`, LIFE);
    return {
      id: memberId(id, `${field}[${i}].id`),
      incarnation: text(incarnation, `${field}[${i}].incarnation`, 1, 64),
    };
  });
  distinct(lives.map(({ id }) => id), field);
  return originIn(lives);
}

function originIn(origin: NonNullable<EpochConfig["origin"]>): NonNullable<EpochConfig["origin"]> {
  return sorted(origin).map(({ id, incarnation }) => ({ id, incarnation }));
}

function sorted<T extends { readonly id: string }>(members: readonly T[]): readonly T[] {
  return [...members].sort((a, b) => a.id < b.id ? -1 : 1);
}
