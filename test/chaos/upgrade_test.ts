/**
 * A rolling upgrade on real processes under load: nodes of the latest release are exchanged for today's one by one, and back. It needs
 * that release out of the history of this clone.
 */
import { assertEquals } from "@std/assert";
import { VERSION, WIRES } from "../../src/version.ts";
import { latestRelease, nodeOfCommit, whyNoHistory } from "./releases.ts";
import { inFolder, knowsAll, speaking, type Status, TODAY, Upgrade } from "./upgrade.ts";

const { version, hash } = await latestRelease();
const why = await whyNoHistory(hash);

Deno.test({
  name:
    `upgrade: ${version} and this version run in one cluster, node by node and back, and nobody sees more than retries${
      why === null ? "" : `: SKIPPED, ${why}`
    }`,
  ignore: why !== null,
  fn: () =>
    inFolder(async (folder, later) => {
      const old = await nodeOfCommit(hash, `${folder}/old`);
      const upgrade = await Upgrade.start(old, later);
      const { cluster } = upgrade;
      await upgrade.exchange(["c"], TODAY);
      const mixed = await upgrade.said("c", knowsAll);
      assertEquals(speaking(mixed), { a: [undefined, 5], b: [undefined, 5], c: [VERSION, WIRES.most] });
      await cluster.says("c", "a: speaks wire 5, this node wires 5 to 6; what it is sent is in wire 5");
      await upgrade.exchange(["a", "b"], TODAY);
      const all = [VERSION, WIRES.most] as const;
      const isUpgraded = (status: Status) => status.members.every(({ wire }) => wire === WIRES.most);
      for (const id of cluster.ids) {
        assertEquals(speaking(await upgrade.said(id, isUpgraded)), { a: all, b: all, c: all });
      }
      await upgrade.exchange(["b", "c", "a"], old);
      await upgrade.judge();
    }),
});
