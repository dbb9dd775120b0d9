import type { Tool } from "../../call/tool.ts";
import { setUser } from "./set-user.ts";

/** Logins and passwords that are their owners' own. */
export const people: readonly Tool[] = [setUser];
