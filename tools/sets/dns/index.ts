import type { Tool } from "../../call/tool.ts";
import { checkDomain } from "./check-domain.ts";

/** DNS of the hosted domains. */
export const dns: readonly Tool[] = [checkDomain];
