/** Asks both judges about the same histories, and says where they differ or are wrong. */
import { eventsOf, type History, ownVerdict, type Verdict } from "./histories.ts";
import { altered, planted } from "./planted.ts";
import { buildPorcupine, fetchModules, type Judge, Skipped } from "./second_judge.ts";

/** Faults of each kind, in so many recorded histories. */
const ROUNDS = 4;
const ALTERED = 300;
const COMPLAINTS_MAX = 10;

type Print = (line: string) => void;

/**
 * The exit code: 0 where both agree and are right, or there is no Go here; 1 where not. Rejects where the second judge does
 * not build or breaks.
 * @param record called where there is a second judge
 * @param go the command
 */
export async function judgeAll(record: () => Promise<readonly History[]>, print: Print, go = "go"): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-judge-" });
  try {
    await fetchModules(go);
    const [second, histories] = await Promise.all([buildPorcupine(go, folder), record()]);
    print(contents(histories));
    return await judgeTwice(histories, second, print) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Skipped)) throw error;
    print(`SKIPPED: the second judge is Porcupine, in Go, and ${error.message}`);
    return 0;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function contents(histories: readonly History[]): string {
  const registers = histories.filter((history) => history.of === "register").length;
  // What ends by itself nobody did.
  const operations = histories.flatMap(eventsOf).filter(({ op, process }) => op !== "end" && process !== "time");
  const unknown = operations.filter(({ output }) => output === "unknown").length;
  return `recorded: ${registers} histories of registers, ${histories.length - registers} of locks; ` +
    `${operations.length} operations, ${unknown} of them of unknown outcome`;
}

type Group = {
  readonly name: string;
  readonly histories: readonly History[];
  /** What both must say; null: the same. */
  readonly expected: Verdict | null;
};

/** Whether both judges find all of these right, all faults planted in them wrong, and the same of what may be either. */
export async function judgeTwice(recorded: readonly History[], second: Judge, print: Print): Promise<boolean> {
  const groups: readonly Group[] = [
    { name: "recorded histories", histories: recorded, expected: "ok" },
    { name: "planted faults", histories: planted(recorded, ROUNDS), expected: "illegal" },
    { name: "altered histories", histories: altered(ALTERED), expected: null },
  ];
  const complaints: string[] = [];
  for (const { name, histories, expected } of groups) {
    const theirs = await second(histories);
    const judged = histories.map((history, i) => ({ from: history.from, own: ownVerdict(history), other: theirs[i]! }));
    const both = (verdict: Verdict) => judged.filter(({ own, other }) => own === verdict && other === verdict).length;
    print(`${histories.length} ${name}: both judges find ${both("ok")} right and ${both("illegal")} wrong`);
    // What is not judged is no pass.
    const wrong = judged.filter(({ own, other }) =>
      own !== other || own === "gave up" || (expected !== null && own !== expected)
    );
    complaints.push(...wrong.map(({ from, own, other }) => `${from}: ${own}; Porcupine: ${other}`));
  }
  for (const complaint of complaints.slice(0, COMPLAINTS_MAX)) print(complaint);
  print(`${complaints.length} histories on which the judges differ or both are wrong`);
  return complaints.length === 0;
}
