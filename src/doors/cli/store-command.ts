import type { Runtime } from "../../../tools/call.ts";
import type { FlagValues } from "../../command-line/flags.ts";

/** A command that works on the database: what it reads from its arguments, and what it then does. */
export interface StoreCommand {
  values: FlagValues;
  run(runtime: Runtime): Promise<number>;
}
