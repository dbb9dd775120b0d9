import { testNodeSetup } from "./node-setup.ts";

await testNodeSetup("trixie", { faults: true });
