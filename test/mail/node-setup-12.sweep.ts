import { testNodeSetup } from "./node-setup.ts";

await testNodeSetup("bookworm");
