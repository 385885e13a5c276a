/** A run as a sequence chart: one model for every way to draw it. No times, no nonces: two runs alike give one chart. */
import type { NodeId } from "../ports.ts";
import type { MessageDetail } from "./detail.ts";
import { mergeTraces } from "./merge.ts";
import { Names } from "./names.ts";
import type { TraceEvent } from "./trace.ts";

export const CLIENT_LANE = "client";

/** An arrow, or several with one label; an own step if from and to are the same lane. */
export type ChartRow = {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly label: string;
  readonly remark?: "collision";
};
export type Chart = { readonly lanes: readonly string[]; readonly rows: readonly ChartRow[] };

/** @param lanes of the nodes, in the order they are drawn; nodes that only the events name come after them */
export function chartOf(traces: readonly (readonly TraceEvent[])[], lanes: readonly NodeId[] = []): Chart {
  const events = mergeTraces(traces);
  const rows = new Rows();
  for (const event of events) rows.add(event);
  const named = [...rows.done()].flatMap(({ from, to }) => [...from, ...to]);
  const nodes = [...new Set([...lanes, ...[...new Set(named)].sort()])].filter((lane) => lane !== CLIENT_LANE);
  return { lanes: [CLIENT_LANE, ...nodes], rows: rows.done() };
}

type Row = { from: string[]; to: string[]; label: string; remark?: "collision" };

/** Acknowledgements: nothing follows from them. */
const UNDRAWN: readonly string[] = ["learned", "noted", "marks"];

class Rows {
  readonly #names = new Names();
  readonly #rows: Row[] = [];
  /** The row of each node's newest event, while that is a message it sends. */
  readonly #sending = new Map<NodeId, Row>();

  done(): readonly ChartRow[] {
    return this.#rows;
  }

  add(event: TraceEvent): void {
    if (event.kind === "sent") return this.#sent(event);
    this.#sending.delete(event.node);
    const { node } = event;
    switch (event.kind) {
      case "answered":
        return this.#answered(event);
      case "handled":
        return this.#handled(event);
      case "decided": {
        const where = `instance ${event.instance} at ${this.#names.ballot(event.ballot, event.instance)}`;
        const what = this.#names.value(event.value);
        const by = `${event.by} quorum ${event.acceptors.join(",")}`;
        return this.#own(
          node,
          event.how === "drove" ? `${what} decided: ${where}, ${by}` : `learns ${what}: ${where}, ${by}`,
        );
      }
      case "request":
        return void this.#push([CLIENT_LANE], [node], `request ${this.#asked(event.what, event.id)}`);
      case "response": {
        const { receipt, outcome } = event;
        const how = receipt === null
          ? ""
          : `, ${receipt.path} ${receipt.instance} ${this.#names.ballot(receipt.ballot, receipt.instance)}`;
        return void this.#push(
          [node],
          [CLIENT_LANE],
          `response ${this.#asked(event.what, event.id)}: ${outcome}${how}`,
        );
      }
      case "remark":
        return this.#remark(event);
    }
  }

  /** To several at once: nothing else happened on this node between, so the arrows may start together. */
  #sent({ node, to, message }: TraceEvent & { kind: "sent" }): void {
    const label = this.#message(message);
    const open = this.#sending.get(node);
    if (open?.label === label && !open.to.includes(to)) return void open.to.push(to);
    this.#sending.set(node, this.#push([node], [to], label));
  }

  #answered({ node, from, message, reply }: TraceEvent & { kind: "answered" }): void {
    if (reply === null) return void this.#own(node, `no answer from ${from} to ${this.#title(message)}`);
    if (UNDRAWN.includes(reply.type)) return;
    const label = this.#message(reply);
    const last = this.#rows.at(-1);
    // Only of the last row: an earlier one may precede what this reply follows from.
    if (last?.label === label && last.to[0] === node && last.to.length === 1 && !last.from.includes(from)) {
      return void last.from.push(from);
    }
    this.#push([from], [node], label);
  }

  #handled({ node, from, message, reply }: TraceEvent & { kind: "handled" }): void {
    if (from === "") {
      this.#push([CLIENT_LANE], [node], this.#message(message));
      return void this.#push([node], [CLIENT_LANE], this.#message(reply));
    }
    // The sender of a peer's message has drawn it both ways; what is left are steps on the own record.
    if (from !== node) return;
    const step = this.#step(message, reply);
    if (step === null) return;
    // A pick asked for again, on the same reports, has the same answer: one line of it is enough.
    const isPick = message.type === "recover" || message.type === "pick";
    if (isPick && this.#rows.some(({ from, label }) => from[0] === node && label === step)) return;
    this.#own(node, step);
  }

  #step(message: MessageDetail, reply: MessageDetail): string | null {
    const names = this.#names;
    switch (message.type) {
      case "prepare":
        return `${this.#title(message)} to itself: ${reply.type === "promise" ? "promises" : reply.type}`;
      case "any":
        return `${this.#title(message)} to itself: ${reply.type}`;
      case "accept": {
        if (reply.type === "accepted") return `own vote: ${this.#valued(message)} at ${this.#at(message)}`;
        const holds = reply.vote
          ? `, holds ${names.value(reply.vote.value)} at ${names.ballot(reply.vote.ballot, reply.instance ?? 0)}`
          : "";
        return `own vote for ${this.#valued(message)} ${reply.type}${holds}`;
      }
      case "decide":
        return `own decision (R2): ${names.value(message.value!)} ${reply.type}`;
      case "recover":
      case "pick": {
        const whose = message.type === "recover" ? "coordinator" : "acceptor";
        const from = `${whose} picks from ${this.#votes(message)}`;
        return reply.type === "picked"
          ? `${from}: votes ${this.#valued(reply)} at ${this.#at(reply)}`
          : `${from}: ${reply.type}`;
      }
      default:
        return null;
    }
  }

  #remark({ node, by, values }: TraceEvent & { kind: "remark" }): void {
    const [first = "", ...rest] = values.map((value) => this.#names.value(value));
    const what = by === "acceptor"
      ? `${node} holds ${first}, refuses ${rest.join(", ")}`
      : `the ${by} sees ${[first, ...rest].join(" and ")}`;
    this.#push([node], [node], `collision: ${what}`, "collision");
  }

  #own(node: NodeId, label: string): void {
    this.#push([node], [node], label);
  }

  #push(from: string[], to: string[], label: string, remark?: "collision"): Row {
    const row: Row = { from, to, label, ...(remark === undefined ? {} : { remark }) };
    this.#rows.push(row);
    return row;
  }

  #at({ ballot = "", instance = 0 }: MessageDetail): string {
    return this.#names.ballot(ballot, instance);
  }

  #asked(what: string, id: string): string {
    return id === "" ? what : `${what} ${this.#names.command(id)}`;
  }

  #title({ letter, type, ballot, instance, recovery }: MessageDetail): string {
    const name = type === "accept" ? "Accept!" : type[0]!.toUpperCase() + type.slice(1);
    const where = [
      ballot === undefined ? [] : [this.#names.ballot(ballot, instance ?? 0)],
      instance === undefined ? [] : [`${instance}`],
      recovery === undefined ? [] : [recovery],
    ];
    return `${letter === undefined ? "" : `${letter} `}${name}(${where.flat().join(", ")})`;
  }

  #message(detail: MessageDetail): string {
    const { value, commands, vote, votes } = detail;
    const parts = [
      ...(value !== undefined ? [this.#valued(detail)] : commands !== undefined ? [this.#commands(commands)] : []),
      ...(vote === undefined ? [] : [
        vote === null
          ? "no vote"
          : `${this.#names.value(vote.value)} at ${this.#names.ballot(vote.ballot, detail.instance ?? 0)}`,
      ]),
      ...(votes === undefined ? [] : [this.#votes(detail)]),
    ];
    return [this.#title(detail), ...parts].join(" ");
  }

  /** With what it holds, where the message says it. */
  #valued({ value, commands }: MessageDetail): string {
    return `${this.#names.value(value!)}${commands === undefined ? "" : this.#commands(commands)}`;
  }

  #commands(commands: readonly string[]): string {
    return `{${commands.map((id) => this.#names.command(id)).join(",")}}`;
  }

  #votes({ votes = {} }: MessageDetail): string {
    return `{${Object.entries(votes).map(([node, value]) => `${node}:${this.#names.value(value)}`).join(" ")}}`;
  }
}
