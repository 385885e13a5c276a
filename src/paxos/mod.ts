/**
 * Fast Paxos as pure functions: one file per role, messages and timers as data.
 *
 * | letter | role | file | says | hears |
 * |---|---|---|---|---|
 * | P | proposer | proposer.ts | Prepare (1a), Any, Accept! (2a) | Promise (1b), Accepted (2b) |
 * | A | acceptor | acceptor.ts, recovery.ts | Promise, Accepted, refusals | Prepare, Any, Accept!, Learn, read |
 * | C | coordinator | coordinator.ts | Accept! of a recovery ballot | collisions |
 * | L | learner | learner.ts | what was chosen | Accepted, views |
 *
 * PROTOCOL.md beside this file is the design; comments cite its sections.
 */
export * from "./acceptor.ts";
export * from "./ballot.ts";
export * from "./barring.ts";
export * from "./batch.ts";
export * from "./certificate.ts";
export * from "./coordinator.ts";
export * from "./learner.ts";
export * from "./message.ts";
export * from "./pick_value.ts";
export * from "./proposer.ts";
export * from "./proposer_state.ts";
export * from "./quorum.ts";
export * from "./record.ts";
export * from "./repair.ts";
export * from "./split.ts";
