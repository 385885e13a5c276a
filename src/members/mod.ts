/**
 * Membership by sealed epochs, as pure functions beside those of src/paxos (PROTOCOL.md §9), which the explorer searches. Their
 * hosts are in src/replica.
 *
 * | role | file | says | hears |
 * |---|---|---|---|
 * | member | acceptor.ts, decree.ts | promises and votes of an import, sealed reports, `moved` | messages of e and e+1 |
 * | owner of an import | importer.ts, pick_import.ts | Prepare and Accept! of an import | promises, sealed reports |
 * | reader | read.ts | what is newest in e+1 | views, sealed reports |
 * | whoever retires e | retire.ts | whether a key is ready | sealed reports |
 */
export * from "./acceptor.ts";
export * from "./decree.ts";
export * from "./epoch.ts";
export * from "./importer.ts";
export * from "./message.ts";
export * from "./pick_import.ts";
export * from "./read.ts";
export * from "./retire.ts";
