/** How the rooms of the house lie to each other, by the runtime's own reading of their imports: no circles, and none too big. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
/** No room holds more than this share of the lines of src. */
const SHARE_MAX = 0.16;

type Module = {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
};
/** What each file imports, types too. */
type Graph = ReadonlyMap<string, readonly string[]>;

async function productFiles(): Promise<readonly string[]> {
  const files = ["deploy.ts"];
  const walk = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
      if (isDirectory) await walk(`${folder}${name}/`);
      else if (name.endsWith(".ts")) files.push(folder + name);
    }
  };
  for (const folder of ["src/", "routes/"]) await walk(folder);
  return files;
}

async function graphOf(files: readonly string[]): Promise<Graph> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-rooms-" });
  try {
    const all = `${folder}/all.ts`;
    await Deno.writeTextFile(
      all,
      files.map((file) => `import ${JSON.stringify(new URL(file, ROOT).href)};\n`).join(""),
    );
    const config = new URL("deno.json", ROOT).pathname;
    const args = ["info", "--json", "--no-remote", "--config", config, all];
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert(success, new TextDecoder().decode(stderr));
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { readonly modules: readonly Module[] };
    const own = modules.filter(({ specifier }) => specifier.startsWith(ROOT.href));
    return new Map(own.map(({ specifier, dependencies = [] }) => [
      specifier.slice(ROOT.href.length),
      dependencies.flatMap(({ code, type }) => code?.specifier ?? type?.specifier ?? [])
        .filter((target) => target.startsWith(ROOT.href)).map((target) => target.slice(ROOT.href.length)),
    ]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** `src/store/rows.ts` lies in `src/store`, `src/limits.ts` is a room of its own. */
function roomOf(file: string): string {
  const [top, room, ...rest] = file.split("/");
  return top === "src" && rest.length > 0 ? `src/${room}` : top === "src" ? file : top!;
}

/** A circle, from a room back to itself; null: there is none. */
function circleIn(graph: Graph): readonly string[] | null {
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): readonly string[] | null => {
    const at = path.indexOf(node);
    if (at >= 0) return [...path.slice(at), node];
    if (done.has(node)) return null;
    for (const target of graph.get(node) ?? []) {
      const found = visit(target, [...path, node]);
      if (found !== null) return found;
    }
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const found = visit(node, []);
    if (found !== null) return found;
  }
  return null;
}

/** The graph of the rooms of these files. */
function roomsOf(graph: Graph): Graph {
  const rooms = new Map<string, string[]>();
  for (const [file, targets] of graph) {
    const room = roomOf(file);
    const others = targets.map(roomOf).filter((target) => target !== room);
    rooms.set(room, [...new Set([...rooms.get(room) ?? [], ...others])]);
  }
  return rooms;
}

const files = await productFiles();
const graph = await graphOf(files);

Deno.test("rooms: every file is seen, with its imports", () => {
  assertEquals(files.filter((file) => !graph.has(file)), []);
  assert(graph.get("src/compose/node.ts")!.includes("src/replica/acceptor_host.ts"));
});

Deno.test("rooms: no circle, not by types either", () => {
  // `ports` names the roles' messages, and the roles know no port.
  assertEquals(circleIn(roomsOf(graph)), null);
});

Deno.test("rooms: none holds more than its share", async () => {
  const lines = new Map<string, number>();
  for (const file of files.filter((file) => file.startsWith("src/"))) {
    const count = (await Deno.readTextFile(new URL(file, ROOT))).split("\n").length - 1;
    lines.set(roomOf(file), (lines.get(roomOf(file)) ?? 0) + count);
  }
  const all = [...lines.values()].reduce((sum, count) => sum + count, 0);
  assertEquals([...lines].filter(([, count]) => count > SHARE_MAX * all), []);
});

Deno.test("rooms: a circle is found through any number of rooms", () => {
  const circle = new Map([["src/a/x.ts", ["src/b/y.ts"]], ["src/b/y.ts", ["src/c/z.ts"]], ["src/c/z.ts", [
    "src/a/w.ts",
  ]]]);
  assertEquals(circleIn(roomsOf(circle)), ["src/a", "src/b", "src/c", "src/a"]);
  const line = new Map([["src/a/x.ts", ["src/a/w.ts", "src/b/y.ts"]], ["src/a/w.ts", ["src/a/x.ts"]]]);
  assertEquals(circleIn(roomsOf(line)), null);
});
