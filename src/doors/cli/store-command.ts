import type { Runtime } from "../../../tools/call/call.ts";
import type { FlagValues } from "../../command-line/flags.ts";

/** A command on the database, with its arguments read. */
export interface StoreCommand {
  values: FlagValues;
  run(runtime: Runtime): Promise<number>;
}
