import { testNodeSetup } from "./node-setup.ts";

await testNodeSetup("bookworm");
await testNodeSetup("trixie", { faults: true });
