/** SIGHUP: what settings name in files is read again. It never ends the process, whatever the files hold by then. */
import type { Report } from "../ports.ts";
import { oneLine } from "./report.ts";

export class Hangups {
  #renew: (() => Promise<void>) | null = null;
  #tell: Report = () => {};
  /** One came that is not seen to yet. */
  #isDue = false;
  #isReading = false;

  /** From now on the process outlives the signal, and the end of the terminal that sends it too. */
  constructor() {
    outliveOutput();
    Deno.addSignalListener("SIGHUP", () => {
      this.#isDue = true;
      void this.#read();
    });
  }

  /**
   * Renews at each signal, and at once if one has come already; never twice at the same time.
   *
   * @param renew rejects if what is read cannot be used, and has changed nothing then
   */
  follow(renew: () => Promise<void>, tell: Report): void {
    this.#renew = renew;
    this.#tell = tell;
    void this.#read();
  }

  async #read(): Promise<void> {
    if (this.#renew === null || this.#isReading) return;
    this.#isReading = true;
    while (this.#isDue) {
      this.#isDue = false;
      try {
        await this.#renew();
        this.#tell("SIGHUP: certificates, secrets and tokens are read again", { event: "renewed" });
      } catch (error) {
        this.#tell(`SIGHUP: nothing is changed, as ${oneLine(error)}`, { event: "not-renewed", level: "error" });
      }
    }
    this.#isReading = false;
  }
}

/** Where the terminal is gone the runtime's console throws, and whoever wanted to say something would fail by it. */
export function outliveOutput(): void {
  for (const name of ["log", "error"] as const) {
    const write = console[name];
    console[name] = (...words: unknown[]) => {
      try {
        write(...words);
      } catch {
        // Nobody reads it any more.
      }
    };
  }
}
