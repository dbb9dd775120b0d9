import type { Tool } from "../../call/tool.ts";
import { listUsage } from "./list-usage.ts";

/** What nodes tell about mailboxes. */
export const usage: readonly Tool[] = [listUsage];
